"""Look at a log before training on it: a schema inferred, statistics, and what would spoil a model."""

from polyrec.data.inspection.cells import CellCount
from polyrec.data.inspection.findings import Finding
from polyrec.data.inspection.inspection import Inspection, inspect
from polyrec.data.inspection.render import render
from polyrec.data.inspection.statistics import Column

__all__ = ["CellCount", "Column", "Finding", "Inspection", "inspect", "render"]
