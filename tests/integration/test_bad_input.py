"""Bad input gets one clear message and exit code 2, never a traceback, and nothing is lost."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytestmark = pytest.mark.slow
Command = Callable[..., Any]  # the `polyrec` fixture


def changed(log: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = log / "log.parquet"
    change(pl.read_parquet(path)).write_parquet(path)


def text_of(log: Path, name: str, old: str, new: str) -> None:
    path = log / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


CASES: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "missing column": (lambda log: changed(log, lambda rows: rows.drop("price")), ("'price'",)),
    "wrong type": (
        lambda log: changed(log, lambda rows: rows.with_columns(price=pl.lit("cheap"))),
        ("'price'", "string"),
    ),
    "unknown declared scenario": (
        lambda log: text_of(log, "schema.toml", "[keys]", 'scenarios = ["home"]\n[keys]'),
        ("'search'", "Known: home"),
    ),
    "empty file": (lambda log: changed(log, lambda rows: rows.head(0)), ("no rows",)),
    "one row": (lambda log: changed(log, lambda rows: rows.head(1)), ("3",)),
    "label of NaN alone": (
        lambda log: changed(log, lambda rows: rows.with_columns(is_buy=pl.lit(float("nan")))),
        ("null in every training row",),
    ),
    "all-null column": (
        lambda log: changed(log, lambda rows: rows.with_columns(price=pl.lit(None, pl.Float64))),
        ("'price'",),
    ),
    "column of NaN and infinities": (
        lambda log: changed(log, lambda rows: rows.with_columns(price=pl.Series([math.nan, math.inf] * 3_000))),
        ("'price'", "NaN or infinite in all"),
    ),
    "label that is not 0 or 1": (
        lambda log: changed(log, lambda rows: rows.with_columns(is_click=pl.lit(3, pl.Int8))),
        ("'is_click'", "3"),
    ),
    "unknown key in run.toml": (
        lambda log: text_of(log, "run.toml", "epochs = 2", "epoch = 2"),
        ("'epoch'", "Did you mean 'epochs'?"),
    ),
    "unknown model option": (
        lambda log: text_of(log, "run.toml", "dim = 4", "dmi = 4"),
        ("'dmi'", "Did you mean 'dim'?"),
    ),
    "unknown recipe": (lambda log: text_of(log, "run.toml", '"mmoe"', '"mmoo"'), ("'mmoo'", "Did you mean 'mmoe'?")),
    "unknown key in schema.toml": (
        lambda log: text_of(log, "schema.toml", 'after = "click"', 'afer = "click"'),
        ("afer", "Did you mean 'after'?"),
    ),
    "truncated parquet": (
        lambda log: (log / "log.parquet").write_bytes((log / "log.parquet").read_bytes()[:5_000]),
        ("log.parquet",),
    ),
    "not a parquet file": (lambda log: (log / "log.parquet").write_text("hello"), ("log.parquet",)),
    "no file": (lambda log: (log / "log.parquet").unlink(), ("log.parquet",)),
    "no schema": (lambda log: (log / "schema.toml").unlink(), ("schema.toml", "does not exist")),
}


@pytest.mark.parametrize("case", CASES)
def test_fit_refuses_it_in_words_and_leaves_no_model(case: str, log: Path, polyrec: Command, tmp_path: Path) -> None:
    spoil, parts = CASES[case]
    spoil(log)
    done = polyrec("fit", log / "run.toml", "--out", tmp_path / "out")
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err
    assert not (tmp_path / "out" / "bundle").exists()
    assert not (tmp_path / "out" / "report.json").exists()


def test_nan_and_infinity_count_as_missing_and_training_goes_on(log: Path, polyrec: Command, tmp_path: Path) -> None:
    odd = pl.when(pl.int_range(pl.len()) % 7 == 0).then(float("nan")).when(pl.int_range(pl.len()) % 7 == 1)
    changed(log, lambda rows: rows.with_columns(price=odd.then(float("inf")).otherwise(pl.col("price"))))
    done = polyrec("fit", log / "run.toml", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "nan" not in (tmp_path / "out" / "report.json").read_text().lower().replace('"nan', "")


def test_an_all_positive_label_is_reported_as_undefined_with_its_reason(
    log: Path, polyrec: Command, tmp_path: Path
) -> None:
    changed(log, lambda rows: rows.with_columns(is_click=pl.lit(1, pl.Int8)))
    done = polyrec("fit", log / "run.toml", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    warning = "label 'is_click' of task 'click' is 1 in every training row"
    assert f"warning: {warning}" in done.err
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert [one["kind"] for one in events].count("warning") == 1
    assert events[0]["text"].startswith(warning)
    cells = json.loads((tmp_path / "out" / "report.json").read_text())["cells"]
    auc = [one for one in cells if one["task"] == "click" and one["metric"] == "auc" and one["scenario"] == "home"]
    assert auc[0]["value"] is None
    assert "negative" in auc[0]["note"]


def test_a_csv_that_is_not_utf8_says_so(log: Path, polyrec: Command, tmp_path: Path) -> None:
    pl.read_parquet(log / "log.parquet").write_csv(log / "log.csv")
    path = log / "log.csv"
    path.write_bytes(path.read_bytes().replace(b"item-1", b"item-\xe9"))
    text_of(log, "run.toml", "log.parquet", "log.csv")
    done = polyrec("fit", log / "run.toml", "--out", tmp_path / "out")
    assert done.code == 2
    assert "UTF-8" in done.err


def test_an_output_folder_with_another_run_is_left_alone(log: Path, polyrec: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert polyrec("fit", log / "run.toml", "--out", out).code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = polyrec("fit", log / "run.toml", "--out", out)
    assert again.code == 2
    assert "nothing is overwritten" in again.err
    other = polyrec("fit", log / "run.toml", "--out", out, "--resume", "--set", "training.epochs=3")
    assert other.code == 2
    assert "training.epochs" in other.err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_scoring_an_unknown_scenario_is_refused_or_shared_as_declared(
    log: Path, polyrec: Command, tmp_path: Path
) -> None:
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "a").code == 0
    rows = pl.read_parquet(log / "log.parquet").with_columns(tab=pl.lit("garden"))
    rows.write_parquet(tmp_path / "new.parquet")
    refused = polyrec("predict", tmp_path / "a" / "bundle", tmp_path / "new.parquet", "--out", tmp_path / "p.parquet")
    assert refused.code == 2
    assert "'garden'" in refused.err
    assert "home, search" in refused.err
    assert not (tmp_path / "p.parquet").exists()
    text_of(log, "schema.toml", "[keys]", 'unknown_scenario = "shared"\n[keys]')
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "b").code == 0
    shared = polyrec("predict", tmp_path / "b" / "bundle", tmp_path / "new.parquet", "--out", tmp_path / "p.parquet")
    assert shared.code == 0, shared.err
    scores = pl.read_parquet(tmp_path / "p.parquet")
    assert scores.columns == ["user_id", "item_id", "tab", "day", "p_click", "p_buy", "p_buy_given_click"]
    assert scores["p_click"].is_between(0, 1).all()
    assert scores["user_id"].to_list() == rows["user_id"].to_list()


def test_a_damaged_bundle_is_refused(log: Path, polyrec: Command, tmp_path: Path) -> None:
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "out").code == 0
    weights = tmp_path / "out" / "bundle" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    done = polyrec("predict", tmp_path / "out" / "bundle", log / "log.parquet", "--out", tmp_path / "p.parquet")
    assert done.code == 2
    assert "differs from what was written" in done.err


def test_a_model_larger_than_memory_is_told_with_what_to_lower(log: Path, polyrec: Command, tmp_path: Path) -> None:
    for size in (10**6, 10**12):
        done = polyrec(
            "fit", log / "run.toml", "--out", tmp_path / "out", "--set", f"model.expert_widths=[{size},{size}]"
        )
        assert done.code == 2
        assert "polyrec: out of memory: " in done.err
        assert "Lower the model's sizes ([model] dim, widths, experts)" in done.err
        assert not (tmp_path / "out").exists()


def test_a_reader_that_goes_early_is_no_fault_and_the_schema_is_written_all_the_same(log: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "polyrec", "inspect", str(log / "log.parquet"), "--out", str(tmp_path / "s.toml")]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    os.close(writer)
    assert done.returncode == 0, done.stderr
    assert "Broken pipe" not in done.stderr
    assert (tmp_path / "s.toml").exists()


def cut(rows: pl.DataFrame, path: Path) -> None:
    rows.write_parquet(path)
    path.write_bytes(path.read_bytes()[:5_000])


SCORED: dict[str, tuple[Callable[[pl.DataFrame, Path], None], str]] = {
    "missing column": (lambda rows, path: rows.drop("price").write_parquet(path), "'price' is not in"),
    "wrong type": (lambda rows, path: rows.with_columns(price=pl.lit("cheap")).write_parquet(path), "expected numbers"),
    "null scenario": (lambda rows, path: rows.with_columns(tab=pl.lit(None, pl.String)).write_parquet(path), "is null"),
    "no rows": (lambda rows, path: rows.head(0).write_parquet(path), "no rows"),
    "no bytes": (lambda rows, path: path.write_bytes(b""), "0 bytes"),
    "not parquet": (lambda rows, path: path.write_text("hello"), "cannot be read as parquet"),
    "cut short": (cut, "It may be cut short"),
    "unknown scenario": (lambda rows, path: rows.with_columns(tab=pl.lit("garden")).write_parquet(path), "'garden'"),
}


def test_scoring_refuses_in_words_what_training_refuses_and_writes_nothing(
    log: Path, polyrec: Command, tmp_path: Path
) -> None:
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "a", "--set", "training.epochs=1").code == 0
    rows, there = pl.read_parquet(log / "log.parquet"), tmp_path / "outputs"
    there.mkdir()
    for case, (write, words) in SCORED.items():
        write(rows, tmp_path / "rows.parquet")
        for command, out in (("predict", "p.parquet"), ("evaluate", "e.json")):
            done = polyrec(command, tmp_path / "a" / "bundle", tmp_path / "rows.parquet", "--out", there / out)
            assert done.code == 2, (case, command, done.err)
            assert words in done.err, (case, command)
            assert "Traceback" not in done.err
            assert list(there.iterdir()) == []


def test_one_row_and_odd_numbers_are_scored(log: Path, polyrec: Command, tmp_path: Path) -> None:
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "a", "--set", "training.epochs=1").code == 0
    rows = pl.read_parquet(log / "log.parquet")
    odd = [rows.head(1), *(rows.head(3).with_columns(price=pl.lit(one)) for one in (float("nan"), float("inf"), None))]
    for one in odd:
        one.with_columns(pl.col("price").cast(pl.Float64)).write_parquet(tmp_path / "rows.parquet")
        out = tmp_path / "p.parquet"
        assert polyrec("predict", tmp_path / "a" / "bundle", tmp_path / "rows.parquet", "--out", out).code == 0
        assert pl.read_parquet(out)["p_click"].is_between(0, 1).all()
    for price, told in ((pl.lit(float("nan")), True), (pl.col("price"), False)):
        rows.with_columns(price=price).write_parquet(tmp_path / "rows.parquet")
        done = polyrec("evaluate", tmp_path / "a" / "bundle", tmp_path / "rows.parquet")
        assert done.code == 0
        assert ("feature 'price' is null, NaN or infinite in all" in done.err) == told
