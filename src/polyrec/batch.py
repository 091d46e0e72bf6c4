"""What a model reads and what it answers: `Batch`, `Jagged`, `Layout`, `Output`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from polyrec.declare import STRICT
from polyrec.errors import DataError, SchemaError, unknown
from polyrec.schema import ALL, Side, Target, Task, funnel, targets
from polyrec.shapes import Bool, Float, Int, Tensor

UNKNOWN_SCENARIO = -1
NO_USER = -(2**63)  # in `Batch.user` and `Batch.item`: a row of nobody known


@dataclass(frozen=True, slots=True)
class Field:
    """A categorical column after encoding: ids in [0, size), 0 = out of vocabulary, 1 = null."""

    __pydantic_config__ = STRICT
    name: str
    size: int
    side: Side = "context"
    dim: int | None = None
    table: str | None = None  # the field whose table it shares
    max_length: int | None = None  # of a sequence


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric column after encoding; a null is 0 in it and 1 in the column of the same name + `?`."""

    __pydantic_config__ = STRICT
    name: str
    side: Side = "context"
    size: int = 1  # of a vector
    unit: bool = False  # lies in [0, 1] (quantile transform, null flag)


@dataclass(frozen=True, slots=True)
class Layout:
    """The tensors' contract: which column of a packed tensor is what. JSON-able; models are built from it."""

    __pydantic_config__ = STRICT
    scenarios: tuple[str, ...]
    tasks: tuple[Task, ...]
    categorical: tuple[Field, ...] = ()
    numeric: tuple[Number, ...] = ()
    sequences: tuple[Field, ...] = ()
    vectors: tuple[Number, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every task over all impressions and, where it has a parent, given that parent."""
        return targets(self.tasks)

    def task_index(self, name: str) -> int:
        """The column of a task in `labels` and `observed`."""
        for place, task in enumerate(self.tasks):
            if task.name == name:
                return place
        raise SchemaError(unknown("task", name, [task.name for task in self.tasks], "in the schema"))


@dataclass(frozen=True, slots=True, eq=False)
class Jagged:
    """Rows of unequal length: row b holds `values[offsets[b]:offsets[b + 1]]`."""

    values: Int[Tensor, "V"]
    offsets: Int[Tensor, "B1"]  # B + 1 of them

    def __len__(self) -> int:
        return self.offsets.shape[0] - 1

    @property
    def lengths(self) -> Int[Tensor, "B"]:
        """Values of each row."""
        return self.offsets[1:] - self.offsets[:-1]

    def select(self, rows: Int[Tensor, "K"]) -> "Jagged":
        """These rows, in this order."""
        if self.values.is_cpu and not torch.compiler.is_exporting():
            return self._select(rows.numpy())
        lengths = self.lengths[rows]
        offsets = torch.zeros(len(rows) + 1, dtype=self.offsets.dtype, device=self.offsets.device)
        torch.cumsum(lengths, 0, out=offsets[1:])
        shift = (self.offsets[:-1][rows] - offsets[:-1]).repeat_interleave(lengths)
        within = torch.arange(int(offsets[-1]), dtype=offsets.dtype, device=offsets.device)
        return Jagged(self.values[within + shift], offsets)

    def _select(self, rows: np.ndarray) -> "Jagged":
        offsets = self.offsets.numpy()
        lengths = np.diff(offsets)[rows]
        found = np.zeros(len(rows) + 1, offsets.dtype)
        np.cumsum(lengths, out=found[1:])
        shift = np.repeat(offsets[rows] - found[:-1], lengths)
        values = self.values.numpy()[np.arange(found[-1], dtype=offsets.dtype) + shift]
        return Jagged(torch.from_numpy(values), torch.from_numpy(found))

    def repeat(self, times: int) -> "Jagged":
        """All rows, so many times over; no shape depends on what the rows hold.

        Example:
            >>> twice = Jagged(torch.tensor([5, 6, 7]), torch.tensor([0, 1, 3])).repeat(2)
            >>> twice.values.tolist(), twice.offsets.tolist()
            ([5, 6, 7, 5, 6, 7], [0, 1, 3, 4, 6])
        """
        count = self.values.shape[0]
        turn = torch.ones(times, dtype=self.offsets.dtype, device=self.offsets.device).cumsum(0) - 1
        starts = (count * turn)[:, None] + self.offsets[:-1]
        return Jagged(self.values.repeat(times), torch.cat([starts.flatten(), times * self.offsets[-1:]]))

    def padded(self, length: int, fill: int = 0) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
        """The first `length` values of each row, and which of them exist."""
        place = torch.arange(length, device=self.values.device)
        exists = place[None, :] < self.lengths[:, None]  # [B, L]
        at = (self.offsets[:-1, None] + place[None, :]).clamp(max=max(len(self.values) - 1, 0))
        values = self.values[at] if len(self.values) else at
        return torch.where(exists, values, torch.full_like(values, fill)), exists

    def map(self, change: Callable[[Tensor], Tensor]) -> "Jagged":
        """Both tensors changed alike (moved, pinned)."""
        return Jagged(change(self.values), change(self.offsets))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows as packed tensors. `layout` names their columns; B may be 0.

    `scenario` is an index into `layout.scenarios`, or -1 for a scenario never declared.
    A null label is 0 in `labels` and False in `observed`. `user` and `item` identify rows of one user and of one
    item, for grouped metrics and for objectives that contrast rows; models must not read them. `item` is None where
    the schema names no item key.
    """

    layout: Layout
    ids: Int[Tensor, "B F"]
    numerics: Float[Tensor, "B N"]
    scenario: Int[Tensor, "B"]
    labels: Float[Tensor, "B T"]
    observed: Bool[Tensor, "B T"]
    weight: Float[Tensor, "B"]
    user: Int[Tensor, "B"]
    sequences: Mapping[str, Jagged] = field(default_factory=dict)
    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    item: Int[Tensor, "B"] | None = None

    def __len__(self) -> int:
        return self.scenario.shape[0]

    def label(self, task: str) -> Float[Tensor, "B"]:
        """0 or 1 by row; 0 where not observed."""
        return self.labels[:, self.layout.task_index(task)]

    def target(self, target: Target) -> tuple[Float[Tensor, "B"], Bool[Tensor, "B"]]:
        """Labels of a target and the rows that lie in its space and have been observed.

        In space `all`: every row whose label was observed. In the parent's space: of those, the rows on
        which the parent happened, and with it every task that it cannot happen without.
        """
        place = self.layout.task_index(target.task)
        inside = self.observed[:, place]
        if target.space != ALL:
            for task in reversed(funnel(self.layout.tasks, target.space)):
                before = self.layout.task_index(task.name)
                inside = inside & self.observed[:, before] & (self.labels[:, before] > 0.5)
                if not task.strict:
                    break
        return self.labels[:, place], inside

    def through(self, task: str) -> tuple[Float[Tensor, "B"], Bool[Tensor, "B"]]:
        """Whether the task happened by way of its whole funnel, and the rows on which that is known.

        One step that is known not to have happened is enough to know.
        """
        places = [self.layout.task_index(step.name) for step in funnel(self.layout.tasks, task)]
        label, observed = self.labels[:, places], self.observed[:, places]
        happened = (label * observed).prod(1)
        return happened, observed.all(1) | (observed & (label < 0.5)).any(1)

    def select(self, rows: Int[Tensor, "K"]) -> "Batch":
        """These rows, in this order.

        On a CPU without PyTorch's threads: encoding does this beside training, and a second team of threads would
        slow the first one's every step.
        """
        single: dict[str, Any] = {name: _taken(getattr(self, name), rows) for name in _PER_ROW}
        sequences = {name: one.select(rows) for name, one in self.sequences.items()}
        vectors = {name: _taken(one, rows) for name, one in self.vectors.items()}
        item = None if self.item is None else _taken(self.item, rows)
        return replace(self, sequences=sequences, vectors=vectors, item=item, **single)

    def repeat(self, times: int) -> "Batch":
        """All rows, so many times over."""
        every = {name: getattr(self, name) for name in _PER_ROW}
        single = {name: one.repeat(times, *(1 for _ in one.shape[1:])) for name, one in every.items()}
        sequences = {name: one.repeat(times) for name, one in self.sequences.items()}
        vectors = {name: one.repeat(times, 1) for name, one in self.vectors.items()}
        item = None if self.item is None else self.item.repeat(times)
        return replace(self, sequences=sequences, vectors=vectors, item=item, **single)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Every tensor changed alike (moved, pinned, cast)."""
        single: dict[str, Any] = {name: change(getattr(self, name)) for name in _PER_ROW}
        sequences = {name: one.map(change) for name, one in self.sequences.items()}
        vectors = {name: change(one) for name, one in self.vectors.items()}
        item = None if self.item is None else change(self.item)
        return replace(self, sequences=sequences, vectors=vectors, item=item, **single)

    def to(self, device: torch.device | str) -> "Batch":
        """On another device; the same object where it is there already."""
        if self.ids.device == torch.device(device):
            return self
        return self.map(lambda one: one.to(device, non_blocking=True))

    def check(self) -> "Batch":
        """Refuse ids and scenarios outside the layout: a silent out-of-range score is worse than none.

        Raises:
            DataError: which column, which value, which bound.
        """
        for place, one in enumerate(self.layout.categorical):
            _check_range(self.ids[:, place], one)
        for one in self.layout.sequences:
            _check_range(self.sequences[one.name].values, one)
        if len(self) and int(self.scenario.max()) >= len(self.layout.scenarios):
            known = ", ".join(self.layout.scenarios)
            raise DataError(f"scenario index {int(self.scenario.max())} has no scenario. Known: {known}.")
        return self


_PER_ROW = ("ids", "numerics", "scenario", "labels", "observed", "weight", "user")


def _taken(values: Tensor, rows: Tensor) -> Tensor:
    return torch.from_numpy(values.numpy().take(rows.numpy(), 0)) if values.is_cpu else values.index_select(0, rows)


def _check_range(ids: Tensor, one: Field) -> None:
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= one.size):
        raise DataError(
            f"feature {one.name!r} has id {int(ids.max())}: its table has {one.size} rows. "
            "Encode rows with the vocabulary that the model was built with."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """A model's answer. Logits, never probabilities; everything has a name."""

    logits: Mapping[str, Float[Tensor, "B"]]
    hidden: Mapping[str, Float[Tensor, "B H"]] = field(default_factory=dict)
    penalties: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
