"""Small logs on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyrec.data.files import Source
from polyrec.schema import Feature, Keys, Schema, Task

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(columns: dict[str, Any] | pa.Table, name: str = "log.parquet", group: int | None = None) -> Path:
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, tmp_path / name, row_group_size=group or max(table.num_rows, 1))
        return tmp_path / name

    return write


@pytest.fixture
def schema() -> Schema:
    return Schema(
        Keys("tab", user="user", time="week"),
        (
            Feature("user", "categorical", "user"),
            Feature("item", "categorical", "item"),
            Feature("price", "numeric", transform="standard"),
        ),
        (Task("click", "click"), Task("buy", "buy", after="click")),
    )


@pytest.fixture
def log() -> pa.Table:
    """1,000 rows of three scenarios, 40 users and 25 items over ten weeks, in order of time."""
    random = np.random.default_rng(0)
    rows = 1000
    click = random.random(rows) < 0.4
    return pa.table(
        {
            "row": np.arange(rows),
            "user": random.integers(0, 40, rows),
            "item": pa.array([f"item {one}" for one in random.integers(0, 25, rows)]),
            "price": random.normal(10.0, 2.0, rows),
            "tab": pa.array(random.choice(["feed", "home", "search"], rows)),
            "week": np.sort(random.integers(0, 10, rows)).astype(np.int8),
            "click": click.astype(np.int8),
            "buy": (click & (random.random(rows) < 0.3)).astype(np.int8),
        }
    )


@pytest.fixture
def source(write: Write, log: pa.Table) -> Source:
    return Source((write(log, group=130),))
