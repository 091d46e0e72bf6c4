"""Judging a model: predictions beside labels, reports cell by cell, paired comparisons."""

from polyrec.evaluation.collected import Collected
from polyrec.evaluation.comparison import Comparison
from polyrec.evaluation.difference import Difference
from polyrec.evaluation.report import Report, Row

__all__ = ["Collected", "Comparison", "Difference", "Report", "Row"]
