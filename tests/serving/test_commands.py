"""`polyrec export`, `predict` and `serve` as a person runs them."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from polyrec.artifact import Manifest
from polyrec.serving import Scorer

ROW = {"user_id": 7, "item_id": "item-3", "price": 9.5, "tab": "home"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, with its log beside it."""
    from polyrec.config import RunConfig
    from polyrec.recipes.fit import fit

    folder = tmp_path_factory.mktemp("run")
    rows = 2_000
    pl.DataFrame(
        {
            "user_id": [one % 60 for one in range(rows)],
            "item_id": [f"item-{one % 40}" for one in range(rows)],
            "price": [float(one % 90) if one % 10 else None for one in range(rows)],
            "tab": ["home" if one % 3 else "search" for one in range(rows)],
            "day": [1 + one * 20 // rows for one in range(rows)],
            "is_click": [int(one % 7 < 2) for one in range(rows)],
            "is_buy": [int(one % 7 == 1 and one % 5 < 2) for one in range(rows)],
        }
    ).write_parquet(folder / "log.parquet", row_group_size=700)
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "run.toml").write_text('recipe = "mmoe"\n[data]\nschema = "schema.toml"\nlog = ["log.parquet"]\n')
    fit(RunConfig.load(folder / "run.toml", {"training.epochs": 1, "training.batch_size": 256}), folder / "out")
    return folder


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


def test_export_then_predict_gives_the_scores_of_the_model(run: Path, polyrec, tmp_path: Path) -> None:
    done = polyrec("export", run / "out", "--out", tmp_path / "bundle")
    assert done.code == 0, done.err
    manifest = Manifest.read(tmp_path / "bundle")
    assert manifest.program is not None
    assert manifest.trained_on["period"] == {"column": "day", "from": 1, "to": 16}
    assert "report.json" in manifest.files
    for name, bundle in (("a", run / "out" / "bundle"), ("b", tmp_path / "bundle")):
        done = polyrec("predict", bundle, run / "log.parquet", "--out", tmp_path / f"{name}.parquet")
        assert done.code == 0, done.err
    model, program = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    assert model.columns == program.columns
    assert model.drop("p_click", "p_buy", "p_buy_given_click").equals(
        program.drop("p_click", "p_buy", "p_buy_given_click")
    )
    for column in ("p_click", "p_buy", "p_buy_given_click"):
        assert (model[column] - program[column]).abs().max() <= 1e-5
    single = Scorer.load(tmp_path / "bundle").score([pq.read_table(run / "log.parquet").slice(1_234, 1).to_pylist()[0]])
    assert single[0]["buy"] == pytest.approx(program["p_buy"][1_234], abs=1e-5)


def test_export_overwrites_no_other_folder(run: Path, polyrec, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    refused = polyrec("export", run / "out", "--out", tmp_path / "full")
    assert (refused.code, "is no bundle" in refused.err) == (2, True)
    assert (tmp_path / "full" / "a.txt").read_text() == "mine"
    itself = polyrec("export", run / "out" / "bundle", "--out", run / "out" / "bundle")
    assert (itself.code, "is the bundle that is read" in itself.err) == (2, True)
    nothing = polyrec("export", tmp_path / "full", "--out", tmp_path / "new")
    assert (nothing.code, "is not a bundle" in nothing.err) == (2, True)


@contextmanager
def serving(bundle: Path, *options: str, token: str | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`polyrec serve` in a process of its own, which ends with the test."""
    command = [sys.executable, "-m", "polyrec", "serve", str(bundle), "--port", "0", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"POLYREC_TOKEN": token} if token else {})}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("serving mmoe@"), line
        yield process, int(line.rpartition(":")[2])
    finally:
        process.kill()
        process.communicate(timeout=20)


def ask(port: int, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body))
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


def test_serve_answers_logs_and_stops_when_asked(run: Path) -> None:
    bundle = run / "out" / "bundle"
    with serving(bundle, "--items", str(run / "log.parquet")) as (process, port):
        status, body = ask(port, "/score", {"rows": [ROW]})
        assert status == 200
        assert json.loads(body)["scores"][0] == pytest.approx(Scorer.load(bundle).score([ROW])[0], abs=1e-5)
        status, body = ask(port, "/recommend", {"user": {"user_id": 7}, "scenario": "search", "k": 3})
        assert (status, len(json.loads(body)["items"])) == (200, 3)
        status, body = ask(port, "/report")
        assert (status, body[:15].lower()) == (200, b"<!doctype html>")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0
        assert [json.loads(line)["path"] for line in err.splitlines()] == ["/score", "/recommend", "/report"]


def test_a_killed_server_starts_again(run: Path) -> None:
    for _ in range(2):
        with serving(run / "out" / "bundle", "--quiet") as (process, port):
            assert ask(port, "/score", {"rows": [ROW]})[0] == 200
            process.kill()
            process.wait(20)


def test_serve_refuses_in_words(run: Path, polyrec, tmp_path: Path) -> None:
    no_bundle = polyrec("serve", tmp_path)
    assert (no_bundle.code, "is not a bundle" in no_bundle.err) == (2, True)
    no_items = polyrec("serve", run / "out" / "bundle", "--items", run / "nothing.parquet")
    assert (no_items.code, "does not exist" in no_items.err) == (2, True)
    wrong_items = polyrec("serve", run / "out" / "bundle", "--items", run / "out" / "test.parquet")
    assert (wrong_items.code, "Items need their key" in wrong_items.err) == (2, True)
    with serving(run / "out" / "bundle", "--quiet") as (_, port):
        taken = polyrec("serve", run / "out" / "bundle", "--port", port, timeout=60)
        assert taken.code == 2
        assert "in use" in taken.err
    wrong_time = polyrec("serve", run / "out" / "bundle", "--timeout", "0")
    assert (wrong_time.code, "--timeout" in wrong_time.err) == (2, True)
