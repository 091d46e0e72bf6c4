"""Builds a named data set from raw files that a test wrote, and looks at it as `polyrec inspect` and `fit` do."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from polyrec.config import RunConfig
from polyrec.data import named
from polyrec.data.inspection import inspect
from polyrec.data.split import split
from polyrec.schema import Schema


@dataclass(frozen=True)
class Done:
    folder: Path
    made: named.Made

    def rows(self, part: str = "log") -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{part}.parquet")

    @property
    def schema(self) -> Schema:
        return Schema.load(self.folder / "schema.toml")

    @property
    def run(self) -> RunConfig:
        return RunConfig.load(self.folder / "run.toml")

    @property
    def about(self) -> dict:
        return json.loads((self.folder / "dataset.json").read_text(encoding="utf-8"))


Build = Callable[..., Done]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """`build(name, folder)`, into a new folder of the test's own."""

    def make(name: str, source: Path, out: str = "out", **options: object) -> Done:
        made = named.make(named.get(name), source, tmp_path / out, **options)  # type: ignore[arg-type]
        return Done(tmp_path / out, made)

    return make


@pytest.fixture
def taken() -> Callable[[Done], None]:
    """Asserts that inspection names no error, and that the run file's split gives rows to every part."""

    def check(done: Done) -> None:
        paths = [done.folder / f"{part}.parquet" for part in done.made.parts]
        found = inspect(paths, done.schema)
        assert [one for one in found.findings if one.severity == "error"] == []
        assert found.rows == sum(rows for rows, *_ in done.made.counts.values())
        parts = split(done.run.data, done.schema)
        assert parts.test is not None
        assert parts.train.rows() + parts.valid.rows() + parts.test.rows() == found.rows

    return check
