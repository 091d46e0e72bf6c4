"""A bundle at work."""

from polyrec.serving.scorer import Scorer

__all__ = ["Scorer"]
