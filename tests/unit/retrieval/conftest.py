"""A small log of users and items in two scenarios, and bundles trained on it for a few steps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polyrec.artifact import Bundle
from polyrec.config import RunConfig
from polyrec.recipes.fit import fit

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
[[features]]
name = "hour"
kind = "categorical"
[[tasks]]
name = "click"
label = "is_click"
[[tasks]]
name = "buy"
label = "is_buy"
after = "click"
"""
RUN = """
recipe = "twotower-mixed"
[data]
schema = "schema.toml"
log = ["log.parquet"]
[model]
dim = 8
[training]
threads = 1
"""


def write(folder: Path, rows: int = 4_000) -> Path:
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 60, rows), rng.integers(0, 40, rows)
    tab = rng.choice(["home", "search"], rows, p=[0.7, 0.3])
    click = rng.random(rows) < np.where(user % 5 == item % 5, 0.6, 0.05)
    frame = pl.DataFrame(
        {
            "user_id": user,
            "item_id": [f"item-{one}" for one in item],
            "price": np.round(1.0 + item * 0.5, 2),
            "hour": rng.integers(0, 24, rows),
            "tab": tab,
            "day": np.sort(rng.integers(1, 21, rows)),
            "is_click": [None if lost else int(one) for lost, one in zip(rng.random(rows) < 0.1, click, strict=True)],
            "is_buy": (click & (rng.random(rows) < 0.5)).astype(np.int8),
        }
    ).with_columns(is_buy=pl.when(pl.col("is_click").is_null()).then(None).otherwise(pl.col("is_buy")))
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "log.parquet")
    (folder / "schema.toml").write_text(SCHEMA, encoding="utf-8")
    (folder / "run.toml").write_text(RUN, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """log.parquet, schema.toml, run.toml."""
    return write(tmp_path_factory.mktemp("shop"))


def fit_once(shop: Path, recipe: str, **settings: object) -> Path:
    out = shop / "runs" / recipe
    if not out.exists():
        few: dict[str, object] = {} if recipe == "pooled" else {"retrieval.at": 5}
        few |= {"training.epochs": 2, "training.batch_size": 128, "training.table_lr": 0.1}
        fit(RunConfig.load(shop / "run.toml", {"recipe": recipe, **few, **settings}), out)
    return out


@pytest.fixture(scope="session")
def towers(shop: Path) -> Path:
    """A finished run of two towers."""
    return fit_once(
        shop,
        "twotower-mixed",
        **{"training.epochs": 30, "training.patience": 30, "training.table_lr": 0.3, "retrieval.at": 5},
    )


@pytest.fixture(scope="session")
def ranker(shop: Path) -> Bundle:
    """A bundle that ranks."""
    return Bundle.load(fit_once(shop, "pooled") / "bundle")


@pytest.fixture(scope="session")
def fitted() -> Callable[..., Path]:
    """Fits a recipe on the shop's log once and gives its folder."""
    return fit_once
