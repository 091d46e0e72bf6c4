"""Counting a period's rows, block by block."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from polyrec.batch import Batch
from polyrec.data.columns import read_scenarios
from polyrec.data.content import hashed
from polyrec.data.encode import Encoder
from polyrec.data.hashing import splitmix64
from polyrec.data.moments import times, usual
from polyrec.data.numbers import read_floats
from polyrec.data.values import UNKNOWN
from polyrec.errors import DataError

SINGLE = 16  # ids with a bin of their own: unknown, null, and the most frequent values of the first fit
BINS = SINGLE + 28
EDGES = np.array([-1e6, -1e4, -1e3, -1e2, -30, -10, -5, -3, -2, -1.5, -1, -0.5, -0.25, 0, *np.arange(0.1, 1.05, 0.1),
                  1.5, 2, 3, 5, 10, 30, 1e2, 1e3, 1e4, 1e6])  # fmt: skip
DRAWN = 4_096  # moments from which the usual ones are told


class Tally:
    """What is counted of a period, block by block. `first`: ids of the fit's vocabulary; `kept`: hashes of rows."""

    def __init__(self, first: Mapping[str, int], kept: int) -> None:
        self.ids, self.kept = first, kept
        self.rows, self.late, self.timed, self.sum = 0, 0, 0, np.uint64(0)
        self.fields: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}  # by scenario: [T, 2] observed and positive
        self.scenarios: dict[str, int] = {}
        self.unknown: dict[str, int] = {}
        self.later: dict[str, int] = {}
        self.missing: dict[str, int] = {}
        self.smallest = np.zeros(0, np.uint64)
        self.drawn: tuple[np.ndarray, np.ndarray] | None = None  # moments, and the numbers that they were drawn by
        self.dated = False  # whether there is a time to count by
        self.first: Any = None
        self.last: Any = None

    def add(self, batch: Batch, scenario: pa.ChunkedArray) -> None:
        """Count features, labels and scenarios."""
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
        old = known[known < self.ids[name]]
        self.unknown[name] = self.unknown.get(name, 0) + len(ids) - len(known)
        self.later[name] = self.later.get(name, 0) + len(known) - len(old)
        self._bin(name, _id_bins(old), BINS)

    def _cell(self, name: str, both: np.ndarray) -> None:
        self.counts[name] = self.counts.get(name, 0) + both.sum(0)

    def _bin(self, name: str, places: np.ndarray, size: int) -> None:
        found = np.bincount(np.minimum(places, size - 1), minlength=size)
        self.fields[name] = self.fields.get(name, 0) + found

    def hash(self, table: pa.Table, encoder: Encoder) -> None:
        """Mix what each row holds into the digest and the sketch, and count numbers that are missing."""
        keys, features = encoder.schema.keys, encoder.schema.features
        for one in features:
            if one.kind == "numeric" and one.name in table.column_names:
                floats = (read_floats(chunk, one.name) for chunk in table[one.name].chunks)
                lost = sum(int((~np.isfinite(values)).sum()) for values in floats)
                self.missing[one.name] = self.missing.get(one.name, 0) + lost
        discrete = [one.name for one in features if one.kind == "categorical"] + [keys.scenario, keys.user, keys.item]
        numbers = [one.name for one in features if one.kind == "numeric"] + [keys.time]
        columns = set(table.column_names)
        firsts = [one for one in dict.fromkeys(discrete) if one is not None and one in columns]
        others = [one for one in dict.fromkeys(numbers) if one is not None and one in columns and one not in firsts]
        whole = hashed(table, firsts, others)
        with np.errstate(over="ignore"):
            self.sum += whole.sum(dtype=np.uint64)
        self.smallest = np.sort(np.concatenate([self.smallest, whole]))[: self.kept]

    def clock(self, column: pa.ChunkedArray, before: Any) -> None:
        """Count late rows, and draw moments."""
        self.dated = True
        values = times(column)
        if not len(values):
            return
        if before is not None and isinstance(before, str) != (values.dtype.kind == "U"):
            kinds = ("text", "numbers") if isinstance(before, str) else ("numbers", "text")
            raise DataError(f"the time was {kinds[0]} in the rows before and is {kinds[1]} here. Give it as before.")
        # numpy has no smallest text
        least, most = np.sort(values)[[0, -1]] if values.dtype.kind == "U" else (values.min(), values.max())
        self.first = least if self.first is None else min(self.first, least)
        self.last = most if self.last is None else max(self.last, most)
        self.late += int((values < before).sum()) if before is not None else 0
        places = splitmix64(np.arange(self.timed, self.timed + len(values)))
        self.timed += len(values)
        if self.drawn is not None:
            values, places = (np.concatenate(pair) for pair in zip(self.drawn, (values, places), strict=True))
        kept = np.argsort(places)[:DRAWN]
        self.drawn = values[kept], places[kept]

    def done(self, tasks: list[str]) -> dict[str, Any]:
        """The fields of a profile."""
        labels: dict[str, dict[str, tuple[int, int, int]]] = {}
        for place, task in enumerate(tasks):
            labels[task] = {}
            for name, counts in self.counts.items():
                rows = self.rows if name == "*" else self.scenarios[name]
                labels[task][name] = (rows, int(counts[place, 0]), int(counts[place, 1]))
        return {
            "rows": self.rows,
            "fields": {name: one.tolist() for name, one in self.fields.items()},
            "labels": labels,
            "scenarios": dict(sorted(self.scenarios.items())),
            "digest": f"{int(self.sum):016x}",
            "sketch": tuple(self.smallest.tolist()),
            "unknown": self.unknown,
            "later": self.later,
            "missing": self.missing,
            "undated": self.rows - self.timed if self.dated else 0,
            "time": None if self.first is None else (self.first.item(), self.last.item()),
            "usual": None if self.drawn is None else usual(self.drawn[0]),
            "late": self.late,
        }


def _id_bins(ids: np.ndarray) -> np.ndarray:
    """Ids below 16 by themselves, then ranges that double; ids begin at 1."""
    ids = ids.astype(np.int64)
    return np.where(ids < SINGLE, ids, SINGLE - 4 + np.log2(np.maximum(ids, 1)).astype(np.int64))


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
