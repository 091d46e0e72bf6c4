"""Small bundles of any recipe, without training: what serving does does not depend on what was learned."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from polyrec.serving.limits import Limits
from polyrec.serving.server import Server
from polyrec.serving.service import Settings

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


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A server in a thread of the test."""

    server: Server
    thread: threading.Thread
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def ask(self, path: str, body: Any = None, method: str | None = None, **headers: str) -> Answer:
        raw = body if body is None or isinstance(body, (bytes, Iterator)) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before the whole body was sent: answered
                connection.request(method or ("GET" if body is None else "POST"), path, raw, headers)
            found = connection.getresponse()
            return Answer(found.status, found.read(), {name.lower(): one for name, one in found.getheaders()})
        finally:
            connection.close()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()


Serve = Callable[..., Running]


def servers() -> Iterator[Serve]:
    """Starts servers on free ports of this machine alone, and stops them."""
    running: list[Running] = []

    def start(bundle: Path, *, limits: Limits | None = None, pages: bool = True, **options: Any) -> Running:
        settings = Settings(bundle, options.pop("root", bundle.parent), limits=limits or Limits(seconds=20), **options)
        server = Server(settings, port=0, pages=pages)
        one = Running(server, threading.Thread(target=server.run, daemon=True), server.listen())
        one.thread.start()
        while not server.started:
            assert one.thread.is_alive()
            time.sleep(0.01)
        running.append(one)
        return one

    yield start
    for one in running:
        one.stop()


serve = pytest.fixture(servers, name="serve")
serve_long = pytest.fixture(servers, scope="session", name="serve_long")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tests read and leave as it is; its log lies beside it."""
    return write_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def shared_server(bundle: Path, serve_long: Serve) -> Running:
    """A server for tests that change nothing about it."""
    return serve_long(bundle)
