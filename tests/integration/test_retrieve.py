"""Index and retrieve from the command line, as a person would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

pytestmark = pytest.mark.slow
Command = Callable[..., Any]  # the `polyrec` fixture


@pytest.fixture
def fitted(log: Path, polyrec: Command, tmp_path: Path) -> Path:
    done = polyrec(
        "fit",
        log / "run.toml",
        "--out",
        tmp_path / "out",
        "--set=recipe=sass-base",
        "--set=training.epochs=2",
        "--set=retrieval.at=9",
    )
    assert done.code == 0, done.err
    assert done.out.startswith("click, retrieved"), done.out
    assert "0." in done.out.splitlines()[2]  # recall of a scenario
    return tmp_path / "out"


def test_hits_are_ranked_by_user_in_order_and_leave_out_what_was_seen(
    fitted: Path, log: Path, polyrec: Command, tmp_path: Path
) -> None:
    bundle = fitted / "bundle"
    pl.DataFrame({"user_id": [5, 3, 5]}).write_csv(tmp_path / "users.csv")
    asked = [bundle, tmp_path / "users.csv", "--scenario", "search", "-k", "7", "--out", tmp_path / "hits.parquet"]
    none = polyrec("retrieve", *asked)
    assert none.code == 2
    assert "holds no index. Build one with `polyrec index`" in none.err
    assert not (tmp_path / "hits.parquet").exists()
    assert polyrec("index", bundle, log / "log.parquet").code == 0
    done = polyrec("retrieve", *asked)
    assert done.code == 0, done.err
    hits = pl.read_parquet(tmp_path / "hits.parquet")
    assert hits.columns == ["user_id", "rank", "item_id", "score"]
    assert hits["user_id"].to_list() == [5] * 7 + [3] * 7 + [5] * 7
    assert hits["rank"].to_list() == [1, 2, 3, 4, 5, 6, 7] * 3
    assert hits["item_id"].to_list()[:7] == hits["item_id"].to_list()[14:]
    for at in (0, 7):
        assert hits["score"].to_list()[at : at + 7] == sorted(hits["score"].to_list()[at : at + 7], reverse=True)
    hits.select("user_id", "item_id").head(7).write_parquet(tmp_path / "seen.parquet")
    done = polyrec("retrieve", *asked[:-1], tmp_path / "rest.parquet", "--exclude", tmp_path / "seen.parquet")
    assert done.code == 0, done.err
    rest = pl.read_parquet(tmp_path / "rest.parquet")
    assert not set(rest.filter(user_id=5)["item_id"]) & set(hits["item_id"][:7])
    assert rest.filter(user_id=3)["item_id"].to_list() == hits.filter(user_id=3)["item_id"].to_list()
    ann = polyrec("index", bundle, log / "log.parquet", "--ann", "hnsw")
    assert ann.code == 0, ann.err
    assert polyrec("retrieve", *asked[:-1], tmp_path / "near.parquet").code == 0
    # the bundle is whole, and scores as before
    scored = polyrec("predict", bundle, log / "log.parquet", "--out", tmp_path / "p.parquet")
    assert scored.code == 0, scored.err


def test_mistakes_are_told_in_words(fitted: Path, log: Path, polyrec: Command, tmp_path: Path) -> None:
    bundle = fitted / "bundle"
    done = polyrec("index", bundle, log / "log.parquet", "--ann", "hnws")
    assert done.code == 2
    assert "hnsw" in done.err
    pl.DataFrame({"user_id": [5]}).write_parquet(tmp_path / "users.parquet")
    assert polyrec("index", bundle, log / "log.parquet").code == 0
    done = polyrec(
        "retrieve", bundle, tmp_path / "users.parquet", "--scenario", "serach", "--out", tmp_path / "a.parquet"
    )
    assert done.code == 2
    assert "Did you mean 'search'?" in done.err
    done = polyrec(
        "retrieve", bundle, tmp_path / "users.parquet", "--scenario", "home", "--out", tmp_path / "users.parquet"
    )
    assert done.code == 2
    assert "is one of the files that are read" in done.err
