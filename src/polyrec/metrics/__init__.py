"""Metrics of binary predictions: exact, vectorised, undefined with a reason, with intervals over users."""

from polyrec.metrics import interval
from polyrec.metrics.binary import auc, log_loss, losses, ne
from polyrec.metrics.calibration import Reliability, ece, pcoc, probabilities, reliability
from polyrec.metrics.estimate import Estimate
from polyrec.metrics.grouped import gauc
from polyrec.metrics.histogram import Histogram

__all__ = [
    "Estimate",
    "Histogram",
    "Reliability",
    "auc",
    "ece",
    "gauc",
    "interval",
    "log_loss",
    "losses",
    "ne",
    "pcoc",
    "probabilities",
    "reliability",
]
