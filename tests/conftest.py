"""What every test shares: one thread, and where the real data lie when they are at hand."""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from own_process import Ran, ran

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def journey_small() -> Path:
    """283,860 real impressions, or a skip that says why."""
    return _needed(SHARED / "complete_journey" / "impressions_small.parquet")


@pytest.fixture(scope="session")
def journey() -> Path:
    """3,137,455 real impressions, or a skip that says why."""
    return _needed(SHARED / "complete_journey" / "impressions_3m.parquet")


@pytest.fixture(scope="session")
def hotel() -> Path:
    """119,390 real bookings, or a skip that says why."""
    return _needed(SHARED / "hotel_bookings" / "bookings.parquet")


def _needed(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"needs the real data set {path.parent.name}/{path.name} in ../shared/data, which is not here")
    return path


SCHEMA = """
[keys]
user = "user_id"
item = "item_id"
scenario = "tab"
time = "day"

[[features]]
name = "user_id"
kind = "categorical"
side = "user"
[[features]]
name = "item_id"
kind = "categorical"
side = "item"
[[features]]
name = "price"
kind = "numeric"
side = "item"

[[tasks]]
name = "click"
label = "is_click"
[[tasks]]
name = "buy"
label = "is_buy"
after = "click"
"""

RUN = """
recipe = "{recipe}"
[data]
schema = "schema.toml"
log = ["log.parquet"]
[model]
dim = 4
[training]
epochs = 2
batch_size = 256
threads = 1
"""


def write_log(folder: Path, rows: int = 6_000, seed: int = 0) -> Path:
    """A log with a learnable signal: two scenarios, a funnel, one null price in ten."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 60, rows), rng.integers(0, 40, rows)
    tab = rng.choice(["home", "search"], rows, p=[0.8, 0.2])
    price = np.round(rng.lognormal(2, 1, rows), 2)
    taste = (user % 5 == item % 5) * 2.0 + (tab == "search") * 0.5 - 1.5
    click = rng.random(rows) < 1 / (1 + np.exp(-taste))
    buy = click & (rng.random(rows) < 1 / (1 + np.exp(-(taste - np.log(price) / 2))))
    frame = pl.DataFrame(
        {
            "user_id": user,
            "item_id": [f"item-{one}" for one in item],
            "price": [None if one else float(value) for one, value in zip(rng.random(rows) < 0.1, price, strict=True)],
            "tab": tab,
            "day": np.sort(rng.integers(1, 21, rows)),
            "is_click": click.astype(np.int8),
            "is_buy": buy.astype(np.int8),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "log.parquet", row_group_size=1_000)
    (folder / "schema.toml").write_text(SCHEMA, encoding="utf-8")
    (folder / "run.toml").write_text(RUN.format(recipe="mmoe"), encoding="utf-8")
    return folder


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder with log.parquet, schema.toml and run.toml."""
    return write_log(tmp_path / "data")


Command = Callable[..., Ran]


@pytest.fixture
def polyrec(tmp_path: Path) -> Command:
    """Runs `polyrec ARGUMENTS` as a person does, in a process of its own, in the test's folder."""

    def run(*arguments: str | Path, timeout: float = 120) -> Ran:
        return ran([str(one) for one in arguments], tmp_path, timeout)

    return run


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for what is spilled, in which nothing may stay."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    gc.collect()
    assert not list(folder.iterdir())
