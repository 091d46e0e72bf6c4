"""Small bundles of any recipe, without training: what serving does does not depend on what was learned."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from polyrec.artifact import Bundle
from polyrec.artifact.bundle import describe
from polyrec.config import DataConfig, RunConfig
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.vocabulary import Vocabulary
from polyrec.recipes.assemble import assemble
from polyrec.schema import Feature, Keys, Schema, Task

FEATURES = (
    Feature("user", "categorical", "user"),
    Feature("history", "sequence", "user", shares="item", max_length=4),
    Feature("age", "numeric", "user", transform="quantile"),
    Feature("item", "categorical", "item"),
    Feature("brand", "categorical", "item", dim=5, hash=20),
    Feature("price", "numeric", "item"),
    Feature("image", "vector", "item", size=3),
)
TASKS = (
    Task("click", "is_click"),
    Task("cart", "is_cart", after="click"),
    Task("buy", "is_buy", after="click", via="cart", strict=False),
)


def write_rows(rows: int, scenarios: int = 3, seed: int = 0) -> pa.Table:
    """A table with every kind of feature, nulls and empty lists among them."""
    random = np.random.default_rng(seed)
    click = random.random(rows) < 0.4
    cart = click & (random.random(rows) < 0.5)
    price = np.where(random.random(rows) < 0.1, np.nan, random.lognormal(2, 1, rows))
    return pa.table(
        {
            "tab": [f"s{one}" for one in random.integers(0, scenarios, rows)],
            "user": random.integers(0, 30, rows),
            "history": [[f"i{one}" for one in random.integers(0, 20, random.integers(0, 7))] for _ in range(rows)],
            "age": random.integers(18, 80, rows),
            "item": [None if random.random() < 0.05 else f"i{one}" for one in random.integers(0, 20, rows)],
            "brand": [f"b{one}" for one in random.integers(0, 9, rows)],
            "price": pa.array(price, from_pandas=True),
            "image": [None if random.random() < 0.1 else list(random.random(3)) for _ in range(rows)],
            "is_click": click.astype(np.int8),
            "is_cart": cart.astype(np.int8),
            "is_buy": (cart | (random.random(rows) < 0.02)).astype(np.int8),
        }
    )


def stir(module: torch.nn.Module) -> None:
    """Weights that look trained: nothing at its initial value."""
    with torch.no_grad():
        for one in module.parameters():
            width = one.shape[-2] if one.dim() > 1 else 4
            one.add_(torch.randn_like(one) * 0.5 * max(width, 1) ** -0.5)


Make = Callable[..., Path]


def write_bundle(folder: Path, recipe: str = "mmoe", scenarios: int = 3, *, unknown: str = "shared", **model) -> Path:
    """A bundle of that recipe in `folder/RECIPE`, of stirred weights."""
    rows = write_rows(max(400, 20 * scenarios), scenarios)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"log-{scenarios}.parquet"
    pq.write_table(rows, log)
    keys = Keys("tab", user="user", item="item")
    schema = Schema(keys, FEATURES, TASKS, tuple(f"s{one}" for one in range(scenarios)), unknown)
    encoder = Encoder(schema, Vocabulary.fit(schema, Source((log,))))
    run = RunConfig(recipe, DataConfig("schema.toml", log=(str(log),)), model={"dim": 4, **model}, training={"seed": 1})
    made = assemble(run, encoder.layout)
    stir(made.model)
    manifest = describe(recipe, made.model_part, made.objective_part, schema, made.model)
    bundle = Bundle(manifest, schema, encoder, made.model.eval(), made.objective.eval())
    bundle.save(folder / recipe, rows.select(encoder.columns(labels=False)))
    return folder / recipe


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes bundles into the test's folder."""
    return lambda *arguments, **options: write_bundle(tmp_path / "bundles", *arguments, **options)
