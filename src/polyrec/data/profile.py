"""What a period of rows looks like, in one pass and a few kilobytes: to compare it with the periods before."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.batch import Batch
from polyrec.data.columns import read_scenarios
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.hashing import hash_keys, splitmix64
from polyrec.data.keys import is_text, read_keys
from polyrec.data.numbers import read_floats
from polyrec.data.values import UNKNOWN
from polyrec.progress import Progress, told

SKETCH = 256  # smallest hashes of rows that are kept
SINGLE = 16  # ids with a bin of their own: unknown, null, and the most frequent values of the first fit
BINS = SINGLE + 28
EDGES = np.array([-1e6, -1e4, -1e3, -1e2, -30, -10, -5, -3, -2, -1.5, -1, -0.5, -0.25, 0, *np.arange(0.1, 1.05, 0.1),
                  1.5, 2, 3, 5, 10, 30, 1e2, 1e3, 1e4, 1e6])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts of a period.

    `fields`: how many values fall into each bin, by feature. Ids: null, fourteen single ones, then ranges that double;
    those that the vocabulary does not know are in `unknown`. Numbers: ranges of what the model reads. A sequence is
    there twice, by its values and by its `length of`.
    `labels`: by task and scenario (`"*"`: all), rows, rows where it was observed, and positives among them.
    `digest`: the sum of the rows' hashes, labels left out, which no order of rows changes. `sketch`: the smallest of
    those hashes, from which the share of rows that two periods have in common is told.
    """

    rows: int
    fields: Mapping[str, list[int]]
    labels: Mapping[str, Mapping[str, tuple[int, int, int]]]
    scenarios: Mapping[str, int]
    digest: str
    sketch: tuple[int, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)
    time: tuple[Any, Any] | None = None  # first and last
    late: int = 0  # rows before the moment asked for

    @classmethod
    def of(cls, source: Source, encoder: Encoder, before: Any = None, progress: Progress | None = None) -> "Profile":
        """Read the rows once.

        Args:
            source: the period.
            encoder: of the model that stands; it must take rows of unknown scenarios.
            before: rows whose time lies before it are counted as late.
            progress: told how many rows are read.

        Raises:
            DataError: a column is missing or of the wrong type, or a label is not 0, 1 or null.
        """
        keys, schema = encoder.schema.keys, encoder.schema
        columns = tuple(dict.fromkeys([*encoder.columns(), *([keys.time] if keys.time else [])]))
        tally = _Tally(schema.scenarios)
        for table in told(progress, "reading rows", source.tables(columns), source.rows()):
            tally.add(encoder.encode(table), table[keys.scenario])
            tally.hash(table, encoder)
            if keys.time:
                tally.clock(table[keys.time], before)
        return tally.done([task.name for task in schema.tasks])

    def overlap(self, other: "Profile") -> float:
        """The share of these rows that `other` has too, as the sketches tell it (± .03).

        Example:
            >>> one = Profile(4, {}, {}, {}, "", (1, 3, 5, 7))
            >>> one.overlap(Profile(2, {}, {}, {}, "", (1, 5, 6, 9)))
            0.5
        """
        full = [one[-1] for one in (self.sketch, other.sketch) if len(one) == SKETCH]
        reach = min(full, default=max((*self.sketch, *other.sketch), default=0))
        mine = {one for one in self.sketch if one <= reach}
        return len(mine.intersection(other.sketch)) / len(mine) if mine else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Profile":
        """A profile from plain values."""
        labels = {task: {name: tuple(one) for name, one in cells.items()} for task, cells in values["labels"].items()}
        time = values["time"]
        return cls(**{**values, "labels": labels, "sketch": tuple(values["sketch"]), "time": time and tuple(time)})


class _Tally:
    def __init__(self, scenarios: tuple[str, ...]) -> None:
        self.known = scenarios
        self.rows, self.late, self.sum = 0, 0, np.uint64(0)
        self.fields: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}  # by scenario: [T, 2] observed and positive
        self.scenarios: dict[str, int] = {}
        self.unknown: dict[str, int] = {}
        self.smallest = np.zeros(0, np.uint64)
        self.first: Any = None
        self.last: Any = None

    def add(self, batch: Batch, scenario: pa.ChunkedArray) -> None:
        self.rows += len(batch)
        layout = batch.layout
        for place, one in enumerate(layout.categorical):
            self._ids(one.name, batch.ids[:, place].numpy())
        for place, number in enumerate(layout.numeric):
            self._bin(number.name, np.searchsorted(EDGES, batch.numerics[:, place].numpy(), "right"), len(EDGES) + 1)
        for name, sequence in batch.sequences.items():
            self._ids(name, sequence.values.numpy())
            length = np.log2(sequence.lengths.numpy() + 1).round().astype(np.int64)
            self._bin(f"length of {name}", length, 16)
        labels, seen = batch.labels.numpy() > 0.5, batch.observed.numpy()
        both = np.stack([seen, labels & seen], 2).astype(np.int64)  # [B, T, 2]
        self._cell("*", both)
        for name, mask in _named(scenario):
            self.scenarios[name] = self.scenarios.get(name, 0) + int(mask.sum())
            self._cell(name, both[mask])

    def _ids(self, name: str, ids: np.ndarray) -> None:
        known = ids[ids != UNKNOWN]
        self.unknown[name] = self.unknown.get(name, 0) + len(ids) - len(known)
        self._bin(name, _id_bins(known), BINS)

    def _cell(self, name: str, both: np.ndarray) -> None:
        self.counts[name] = self.counts.get(name, 0) + both.sum(0)

    def _bin(self, name: str, places: np.ndarray, size: int) -> None:
        found = np.bincount(np.minimum(places, size - 1), minlength=size)
        self.fields[name] = self.fields.get(name, 0) + found

    def hash(self, table: pa.Table, encoder: Encoder) -> None:
        keys, features = encoder.schema.keys, encoder.schema.features
        whole = np.zeros(table.num_rows, np.uint64)
        discrete = [one.name for one in features if one.kind == "categorical"] + [keys.scenario, keys.user, keys.item]
        numbers = [one.name for one in features if one.kind == "numeric"] + [keys.time]
        for name in dict.fromkeys([*discrete, *numbers]):
            if name is not None and name in table.column_names:
                parts = [_hashes(chunk, name in discrete) for chunk in table[name].chunks]
                whole = splitmix64(whole ^ np.concatenate(parts)) if parts else whole
        with np.errstate(over="ignore"):
            self.sum += whole.sum(dtype=np.uint64)
        self.smallest = np.sort(np.concatenate([self.smallest, whole]))[:SKETCH]

    def clock(self, column: pa.ChunkedArray, before: Any) -> None:
        values = times(column)
        if len(values):
            least, most = values.min(), values.max()
            self.first = least if self.first is None else min(self.first, least)
            self.last = most if self.last is None else max(self.last, most)
            self.late += int((values < np.asarray(before, values.dtype)).sum()) if before is not None else 0

    def done(self, tasks: list[str]) -> Profile:
        labels: dict[str, dict[str, tuple[int, int, int]]] = {}
        for place, task in enumerate(tasks):
            labels[task] = {}
            for name, counts in self.counts.items():
                rows = self.rows if name == "*" else self.scenarios[name]
                labels[task][name] = (rows, int(counts[place, 0]), int(counts[place, 1]))
        plain = {name: one.tolist() for name, one in self.fields.items()}
        sketch = tuple(self.smallest.tolist())
        time = None if self.first is None else (self.first.item(), self.last.item())
        names = dict(sorted(self.scenarios.items()))
        return Profile(self.rows, plain, labels, names, f"{int(self.sum):016x}", sketch, self.unknown, time, self.late)


def _id_bins(ids: np.ndarray) -> np.ndarray:
    """Ids below 16 by themselves, then ranges that double; ids begin at 1."""
    ids = ids.astype(np.int64)
    return np.where(ids < SINGLE, ids, SINGLE - 4 + np.log2(np.maximum(ids, 1)).astype(np.int64))


def _hashes(chunk: pa.Array, discrete: bool) -> np.ndarray:
    if pa.types.is_temporal(chunk.type):
        return splitmix64(pc.fill_null(_counted(chunk), 0).to_numpy(zero_copy_only=False))
    if discrete or is_text(chunk.type) or pa.types.is_dictionary(chunk.type):
        return hash_keys(read_keys(chunk, "a key"))
    return splitmix64(read_floats(chunk, "a number").view(np.int64))


def _named(column: pa.ChunkedArray) -> list[tuple[str, np.ndarray]]:
    """Scenarios and which rows are theirs; rows without one are nobody's."""
    places: dict[str, int] = {}
    parts = [np.zeros(0, np.int64)]
    for chunk in column.chunks:
        keys = read_scenarios(chunk, "the scenario column")
        texts: Any = keys.values
        names = texts.to_pylist() if keys.kind == "text" else []
        mine = np.array([places.setdefault(str(name), len(places)) for name in names], np.int64)
        parts.append(keys.spread(mine, -1) if len(mine) else np.full(len(keys), -1))
    whole = np.concatenate(parts)
    return [(name, whole == place) for name, place in places.items()]


def times(column: pa.ChunkedArray) -> np.ndarray:
    """Moments as numbers or texts that keep their order; nulls left out."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = column.drop_null()
    found: np.ndarray = (_counted(column) if pa.types.is_temporal(column.type) else column).to_numpy()
    return found if found.dtype != object else found.astype(np.str_)


def _counted(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Dates and times as the whole numbers that are stored."""
    return column.cast(pa.int32()).cast(pa.int64()) if pa.types.is_date32(column.type) else column.cast(pa.int64())
