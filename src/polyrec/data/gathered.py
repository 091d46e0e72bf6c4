"""What rows say, before it is judged: gathered as they stream by, kept in a folder, and joined part by part."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec.data.columns import read_lists, read_scenarios, read_vectors
from polyrec.data.counted import Counted, relieve
from polyrec.data.keys import KeyKind, is_text, read_keys
from polyrec.data.numbers import DEFAULT_TRANSFORM, Tally, read_floats
from polyrec.data.runs import BLOCK, blocks, plain
from polyrec.data.spill import Space
from polyrec.schema import Feature, Schema

Add = Callable[[pa.Array, KeyKind | None], None]


class Gathered:
    """Counts of values and moments of numbers by feature, and counts of scenarios.

    Args:
        schema: which columns, and what they mean.
        space: where counts lie that are more than memory may hold.
        first: the number of the first row among all training rows, for a part of them.
    """

    def __init__(self, schema: Schema, space: Space, first: int | None = None) -> None:
        self.schema, self.space = schema, space
        self.rows = 0
        self.scenarios = Counted(f"scenario column {schema.keys.scenario!r}")
        self.features: dict[str, Counted | Tally] = {}
        self._add: dict[str, Add] = {}
        for one in schema.features:
            self.features[one.name], self._add[one.name] = _gatherer(one, first)

    @property
    def columns(self) -> tuple[str, ...]:
        """Which are read."""
        return tuple(dict.fromkeys([*self.features, self.schema.keys.scenario]))

    def add(self, table: pa.Table) -> None:
        """Take in some rows.

        Raises:
            DataError: a column of the wrong type.
        """
        self.rows += table.num_rows
        for one in self.schema.features:
            add, kind = self._add[one.name], _kind(table, one.shares)
            for chunk in table[one.name].chunks:
                add(meaningful(chunk), kind)
        for chunk in table[self.schema.keys.scenario].chunks:
            self.scenarios.add(read_scenarios(chunk, self.scenarios.where))
        self._relieve()

    def save(self, folder: Path) -> None:
        """Everything, in a folder that is there; counts are forgotten here.

        Those of all columns are sorted runs in two files, one of integers and one of texts.
        """
        files = {kind: _File(folder / f"{kind}.arrow") for kind in ("integer", "text")}
        told: dict[str, dict[str, Any]] = {}
        numbers: dict[str, np.ndarray] = {}
        for name, one in self._all.items():
            if isinstance(one, Tally):
                told[name] = one.told()
                numbers |= {f"{len(told)}.{what}": array for what, array in one.arrays().items()}
            else:
                run = files[one.kind].write(one) if one.kind else None
                told[name] = {"kind": one.kind, "rows": one.rows, "nulls": one.nulls, "run": run}
        for file in files.values():
            file.close()
        np.savez(folder / "numbers.npz", **numbers)  # type: ignore[arg-type]
        (folder / "part.json").write_text(json.dumps({"rows": self.rows, "columns": told}), encoding="utf-8")

    def join(self, folder: Path) -> None:
        """Take in what `save` wrote of rows that follow. Long runs stay in their files, which must stay, too.

        Raises:
            DataError: a column holds texts there and integers here, or the other way round.
        """
        told = json.loads((folder / "part.json").read_text(encoding="utf-8"))
        self.rows += told["rows"]
        with np.load(folder / "numbers.npz") as numbers:
            for place, (name, about) in enumerate(told["columns"].items(), 1):
                one = self._all[name]
                if isinstance(one, Tally):
                    one.join(about, {what: numbers[f"{place}.{what}"] for what in ("raw", "used", "hashes", "values")})
                    continue
                one.saw(about["kind"], about["rows"], about["nulls"])
                if about["run"]:
                    self._count(one, folder / f"{about['kind']}.arrow", range(*about["run"]))
        self._relieve()

    def _count(self, counted: Counted, path: Path, run: range) -> None:
        """A run into memory while half of what it may hold is enough, else by its place."""
        if len(run) > 1 and len(run) * BLOCK + sum(one.bytes for one in self._counted) > self.space.most // 2:
            counted.lend((path, run), self.space)
            return
        with pa.ipc.open_file(pa.OSFile(str(path))) as reader:
            counted.take(pl.DataFrame(pa.Table.from_batches([reader.get_batch(block) for block in run])))

    @property
    def _all(self) -> dict[str, Counted | Tally]:
        return {**self.features, "": self.scenarios}  # no feature has no name

    def _relieve(self) -> None:
        relieve(self._counted, self.space)

    @property
    def _counted(self) -> list[Counted]:
        return [one for one in self.features.values() if isinstance(one, Counted)]


class _File:
    """Sorted runs of one type in a file that is made when there is one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._blocks = 0

    def write(self, counted: Counted) -> tuple[int, int] | None:
        """Which blocks its counts are; None where there are none."""
        first = self._blocks
        for frame in counted.ordered():
            whole = plain(frame)
            self._writer = self._writer or pa.ipc.new_file(self._path, whole.schema)
            for block in blocks(whole):
                self._writer.write_batch(block)
                self._blocks += 1
        return (first, self._blocks) if self._blocks > first else None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def meaningful(column: pa.Array) -> pa.Array:
    """A chunk of nothing but nulls says nothing by its type either."""
    return pa.nulls(len(column)) if column.null_count == len(column) else column


def _kind(table: pa.Table, shares: str | None) -> KeyKind | None:
    """Of the ids that a list shares, which lists in text do not show: integers, unless the ids are texts."""
    if shares is None:
        return None
    kind = table.schema.field(shares).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return None if is_text(kind) or pa.types.is_null(kind) else "integer"


def _gatherer(feature: Feature, first: int | None) -> tuple[Counted | Tally, Add]:
    where = f"feature {feature.name!r}"
    if feature.kind == "numeric":
        tally = Tally(feature.transform or DEFAULT_TRANSFORM, first)
        return tally, lambda column, _: tally.add(read_floats(column, where), column.null_count)
    counted = Counted(where)
    if feature.kind == "vector":
        return counted, lambda column, _: _check_vectors(counted, column, feature.size or 0)
    if feature.kind == "sequence":
        return counted, lambda column, kind: counted.add(read_keys(read_lists(column, where, kind)[0], where))
    if feature.hash is not None:
        return counted, lambda column, _: counted.note(read_keys(column, where))
    return counted, lambda column, _: counted.add(read_keys(column, where))


def _check_vectors(counted: Counted, column: pa.Array, size: int) -> None:
    read_vectors(column, size, counted.where)
    counted.rows += len(column)
    counted.nulls += column.null_count
