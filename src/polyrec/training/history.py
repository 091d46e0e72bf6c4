"""What a validation says, and how a stage went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from polyrec.shapes import Tensor


class Evaluation(NamedTuple):
    """A validation: the number to stop on (higher is better; None where undefined), and the cells behind it."""

    score: float | None
    cells: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class History:
    """How a stage went. `snapshots`: weights at the start of an epoch."""

    steps: int
    rows: int
    seconds: float  # of training, validation left out
    best_step: int
    best_score: float | None
    stopped_early: bool
    validations: Sequence[Mapping[str, Any]] = ()
    snapshots: Mapping[int, Mapping[str, Tensor]] = field(default_factory=dict)
    taken: float = 0.0  # seconds of everything, in all attempts up to their last checkpoints
