"""The one way in: raw rows to a `Batch`, the same for training, evaluation and serving."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from polyrec.batch import NO_USER, Batch, Jagged
from polyrec.data import plain
from polyrec.data.columns import last, read_labels, read_lists, read_scenarios, read_vectors
from polyrec.data.counted import FIRST
from polyrec.data.gathered import meaningful
from polyrec.data.hashing import hash_text
from polyrec.data.keys import read_keys
from polyrec.data.layout import MAX_LENGTH, layout
from polyrec.data.plain import Plain
from polyrec.data.values import UNKNOWN, Values
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import DataError, together, unknown
from polyrec.schema import Feature, Schema, Task, funnel
from polyrec.shapes import Tensor

_SHARED = 'Leave such rows out, or set unknown_scenario = "shared" in the schema to score them by the shared path.'


class Encoder:
    """Encodes rows with a fitted vocabulary. It keeps no state between calls; threads may share it.

    Raises:
        BundleError: the vocabulary was fitted for another schema.

    Example:
        >>> from polyrec.schema import Keys, Task
        >>> schema = Schema(Keys("tab"), (Feature("item", "categorical"),), (Task("click", "click"),))
        >>> items = Values("text", pa.array(["a", "b"], pa.large_string()))
        >>> encoder = Encoder(schema, Vocabulary(("feed", "home"), {"item": items}, {}, 3))
        >>> batch = encoder.encode_rows([{"tab": "home", "item": "b"}, {"tab": "feed", "item": "new"}])
        >>> batch.ids.tolist(), batch.scenario.tolist()
        ([[3], [0]], [1, 0])
    """

    def __init__(self, schema: Schema, vocabulary: Vocabulary) -> None:
        self.schema = schema.with_scenarios(vocabulary.scenarios)
        self.vocabulary = vocabulary
        self.layout = layout(self.schema, vocabulary)
        self._scenarios = Values("text", pa.array(vocabulary.scenarios, pa.large_string()))
        self._by_kind = {
            kind: tuple(one for one in schema.features if one.kind == kind)
            for kind in ("categorical", "numeric", "sequence", "vector")
        }

    def columns(self, *, labels: bool = True) -> tuple[str, ...]:
        """Columns that `encode` reads; the user's and the item's key are needed only beside labels."""
        names = [*(one.name for one in self.schema.features), self.schema.keys.scenario]
        if labels:
            names += [task.label for task in self.schema.tasks]
            names += [key for key in (self.schema.keys.user, self.schema.keys.item) if key]
        return tuple(dict.fromkeys(names))

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns that were text when the vocabulary was fitted, and are in a CSV file too."""
        known = self.vocabulary.values
        lists = [one.name for one in self.schema.features if one.kind in ("sequence", "vector")]
        return tuple(dict.fromkeys([*lists, *(name for name, one in known.items() if one.kind == "text")]))

    def encode(self, rows: pa.Table, *, labels: bool = True, strict: bool = False) -> Batch:
        """Rows as packed tensors, in their order.

        Args:
            rows: the columns of `columns(labels=labels)`, others are left alone.
            labels: read the labels; without, `observed` is False everywhere.
            strict: refuse a scenario that is not known even where the schema gives such rows to the shared
                path (training).

        Raises:
            DataError: a column is missing, of the wrong type, a label is not binary, a scenario is unknown.
        """
        known = rows.column_names
        missing = [
            unknown("column", one, known, "in the rows") for one in self.columns(labels=labels) if one not in known
        ]
        if missing:
            raise DataError(together(missing, f"the rows lack {len(missing)} columns"))
        return self._batch(rows, rows.num_rows, self._labels(rows, labels), strict=strict)

    def check(self, rows: pa.Table, *, strict: bool = False) -> set[str]:
        """Refuse scenarios and labels that `encode` would refuse, reading those columns alone.

        Returns:
            The known scenarios of which there are rows.

        Raises:
            DataError: as `encode`.
        """
        places = self._scenario(rows, rows.num_rows, strict)
        self._labels(rows, True)
        return {self.layout.scenarios[place] for place in np.unique(places.numpy()) if place >= 0}

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """Rows as they come over the wire, without labels. A field that is missing is null; others are left alone.

        Raises:
            DataError: a value of the wrong type, by its field; an unknown scenario.
        """
        names = [*self.columns(labels=False)]
        names += [key for key in (self.schema.keys.user, self.schema.keys.item) if key]
        return self.encode_columns({name: [row.get(name) for row in rows] for name in dict.fromkeys(names)}, who=True)

    def encode_columns(self, columns: Mapping[str, list[Any]], *, who: bool = False) -> Batch:
        """The same from a list of plain values a column, all of `columns(labels=False)` among them.

        Args:
            columns: of equal length.
            who: also say which rows are of one user and of one item, which scoring does not read.

        Raises:
            DataError: as `encode_rows`.
        """
        rows = len(columns[self.schema.keys.scenario])
        tasks = len(self.schema.tasks)
        blank = torch.zeros(rows, tasks), torch.zeros(rows, tasks, dtype=torch.bool)
        return self._batch(Plain(columns), rows, blank, who=who)

    def _batch(
        self,
        columns: pa.Table | Plain,
        rows: int,
        labels: tuple[Tensor, Tensor],
        *,
        strict: bool = False,
        who: bool = True,
    ) -> Batch:
        keys = self.schema.keys
        return Batch(
            layout=self.layout,
            ids=self._ids(columns, rows),
            numerics=self._numerics(columns, rows),
            scenario=self._scenario(columns, rows, strict),
            labels=labels[0],
            observed=labels[1],
            weight=torch.from_numpy(np.ones(rows, np.float32)),
            user=self._identity(columns, rows, keys.user if who else None, "user"),
            sequences={one.name: self._sequence(columns, one) for one in self._by_kind["sequence"]},
            vectors={one.name: self._vector(columns, rows, one) for one in self._by_kind["vector"]},
            item=self._identity(columns, rows, keys.item, "item") if who and keys.item else None,
        )

    def _ids(self, columns: pa.Table | Plain, rows: int) -> Tensor:
        features = self._by_kind["categorical"]
        ids = np.empty((rows, len(features)), np.int32)
        for place, feature in enumerate(features):
            values = self.vocabulary.values[feature.shares or feature.name]
            quick = plain.ids(columns.values(feature.name), values) if isinstance(columns, Plain) else None
            if quick is not None:
                ids[:, place] = quick
                continue
            where = f"feature {feature.name!r}"
            for start, chunk in _chunks(columns, feature.name):
                found = values.ids(read_keys(meaningful(chunk), where), where)
                ids[start : start + len(chunk), place] = found
        return torch.from_numpy(ids)

    def _numerics(self, columns: pa.Table | Plain, rows: int) -> Tensor:
        numerics = np.zeros((rows, len(self.layout.numeric)), np.float32)
        place = 0
        for feature in self._by_kind["numeric"]:
            numbers, at = self.vocabulary.numbers[feature.name], place
            place += 2 if numbers.flagged else 1
            flag = numerics[:, at + 1] if numbers.flagged else None
            if isinstance(columns, Plain) and plain.numbers(
                columns.values(feature.name), numbers, numerics[:, at], flag
            ):
                continue
            for start, chunk in _chunks(columns, feature.name):
                part = slice(start, start + len(chunk))
                absent = None if flag is None else flag[part]
                numbers.encode(meaningful(chunk), f"feature {feature.name!r}", numerics[part, at], absent)
        return torch.from_numpy(numerics)

    def _sequence(self, columns: pa.Table | Plain, feature: Feature) -> Jagged:
        values = self.vocabulary.values[feature.shares or feature.name]
        most, where = feature.max_length or MAX_LENGTH, f"feature {feature.name!r}"
        ids, lengths = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
        quick = plain.lists(columns.values(feature.name), values) if isinstance(columns, Plain) else None
        for found, counts in (quick,) if quick else self._lists(columns, feature.name, values, where):
            kept, counted = last(found, counts, most)
            ids.append(kept)
            lengths.append(counted)
        return Jagged(torch.from_numpy(np.concatenate(ids)), torch.from_numpy(np.cumsum(np.concatenate(lengths))))

    @staticmethod
    def _lists(
        columns: pa.Table | Plain, name: str, values: Values, where: str
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _, chunk in _chunks(columns, name):
            flat, counts = read_lists(meaningful(chunk), where, values.kind)
            yield values.ids(read_keys(meaningful(flat), where), where), counts

    def _vector(self, columns: pa.Table | Plain, rows: int, feature: Feature) -> Tensor:
        size = feature.size or 0
        vectors = np.empty((rows, size), np.float32)
        for start, chunk in _chunks(columns, feature.name):
            vectors[start : start + len(chunk)] = read_vectors(meaningful(chunk), size, f"feature {feature.name!r}")
        return torch.from_numpy(vectors)

    def _labels(self, rows: pa.Table, wanted: bool) -> tuple[Tensor, Tensor]:
        tasks = self.schema.tasks
        labels = np.zeros((rows.num_rows, len(tasks)), np.float32)
        observed = np.zeros((rows.num_rows, len(tasks)), bool)
        for place, task in enumerate(tasks if wanted else ()):
            for start, chunk in _chunks(rows, task.label):
                stop = start + len(chunk)
                labels[start:stop, place], observed[start:stop, place] = read_labels(chunk, f"label {task.label!r}")
        _imply(tasks, labels, observed)
        return torch.from_numpy(labels), torch.from_numpy(observed)

    def _scenario(self, columns: pa.Table | Plain, rows: int, strict: bool) -> Tensor:
        column = self.schema.keys.scenario
        quick = plain.places(columns.values(column), self._scenarios) if isinstance(columns, Plain) else None
        if quick is not None:
            return torch.from_numpy(quick.astype(np.int64) - FIRST)
        places = np.empty(rows, np.int64)
        for start, chunk in _chunks(columns, column):
            keys = read_scenarios(meaningful(chunk), f"scenario column {column!r}")
            places[start : start + len(chunk)] = self._scenarios.ids(keys)
        places -= FIRST
        lost = np.flatnonzero(places < 0)
        if len(lost):
            if strict or self.schema.unknown_scenario == "refuse":
                row = int(lost[0])
                raise self._unknown(columns[column][row].as_py(), row, places[row] != UNKNOWN - FIRST, strict)
            places[lost] = -1
        return torch.from_numpy(places)

    def _unknown(self, name: object, row: int, null: bool, strict: bool) -> DataError:
        column = self.schema.keys.scenario
        if null:
            known = ", ".join(self.schema.scenarios)
            return DataError(f"scenario column {column!r} is null in row {row}. Known: {known}. Fill it.")
        text = unknown("scenario", str(name), self.schema.scenarios, "among those of the training rows")
        remedy = "Leave such rows out, or fit again." if strict else _SHARED
        return DataError(f"{text} {remedy}")

    def _identity(self, columns: pa.Table | Plain, rows: int, column: str | None, what: str) -> Tensor:
        """Which rows are of one user or item: integers as they are, texts by their hash, NO_USER for null."""
        found = np.full(rows, NO_USER, np.int64)
        if column is not None and column in columns.column_names:
            for start, chunk in _chunks(columns, column):
                keys = read_keys(meaningful(chunk), f"{what} key {column!r}")
                codes = hash_text(keys.values).view(np.int64) if keys.kind == "text" else keys.integers()
                found[start : start + len(chunk)] = keys.spread(codes, NO_USER)
        return torch.from_numpy(found)


def _imply(tasks: Sequence[Task], labels: np.ndarray, observed: np.ndarray) -> None:
    """A null label of a task that cannot happen without its parent is known to be 0 where the parent did not happen."""
    places = {task.name: place for place, task in enumerate(tasks)}
    for task in sorted(tasks, key=lambda one: len(funnel(tasks, one.name))):
        if task.after is not None and task.strict:
            parent = places[task.after]
            observed[:, places[task.name]] |= observed[:, parent] & (labels[:, parent] < 0.5)


def _chunks(columns: pa.Table | Plain, name: str) -> Iterator[tuple[int, pa.Array]]:
    start = 0
    for chunk in columns[name].chunks:
        yield start, chunk
        start += len(chunk)
