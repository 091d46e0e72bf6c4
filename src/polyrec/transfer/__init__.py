"""Rows of other scenarios that a scenario may learn from: found by a graph, weighed by how well they fit."""

from polyrec.transfer.adaptation import Adapted, adapt
from polyrec.transfer.graph import Reached, reach
from polyrec.transfer.relation import relations

__all__ = ["Adapted", "Reached", "adapt", "reach", "relations"]
