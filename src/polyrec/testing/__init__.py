"""The contract suite and example data, for users' own models too."""

from polyrec.testing.contract import CHECKS, check
from polyrec.testing.layouts import example_layout, random_batch
from polyrec.testing.subject import Subject

__all__ = ["CHECKS", "Subject", "check", "example_layout", "random_batch"]
