"""What is declared of the named data sets, the page about them, and the command."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

from polyrec.data import named
from polyrec.errors import DataError

ROOT = Path(__file__).parents[4]
ALL = [named.get(name) for name in named.names()]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_page_has_each_data_sets_protocol_origin_and_terms():
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    rows = [cells(line) for line in text.splitlines() if re.match(r"\| `[a-z0-9-]+` \|", line)]
    protocols = [row for row in rows if len(row) == 5]
    origins = [row for row in rows if len(row) == 3]
    assert protocols == [[f"`{one.name}`", one.scenarios, one.labels, one.split, one.source] for one in ALL]
    assert origins == [[f"`{one.name}`", one.where, one.terms] for one in ALL]


@pytest.mark.parametrize("dataset", ALL, ids=lambda one: one.name)
def test_an_empty_folder_is_answered_with_where_to_get_the_files(dataset, tmp_path):
    (tmp_path / "from").mkdir()
    with pytest.raises(DataError) as told:
        named.make(dataset, tmp_path / "from", tmp_path / "out")
    assert dataset.where in str(told.value)
    assert dataset.terms in str(told.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="is not a folder"):
        named.make(dataset, tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize("dataset", ALL, ids=lambda one: one.name)
def test_checksums_are_whole_and_every_data_set_warns_of_something(dataset):
    for file in dataset.files:
        assert file.md5 is None or re.fullmatch(r"[0-9a-f]{32}", file.md5)
        assert file.bytes is None or file.bytes > 0
    assert dataset.leaks
    assert dataset.unpack == "" or dataset.unpack.endswith(".")


@pytest.mark.slow
def test_the_command_lists_describes_and_builds(polyrec, hotel, tmp_path):
    listed = polyrec("data")
    assert listed.code == 0
    for one in ALL:
        assert all(words in listed.out for words in (one.name, one.where, one.terms))
    told = polyrec("data", "kuairand-pure")
    assert "statistic" in told.out
    assert "0820331067a3784d9691136f772b35a7" in told.out
    assert "checksum not published" in told.out
    done = polyrec("data", "hotel-bookings", "--from", hotel.parent, "--out", "hotel")
    assert done.code == 0
    assert "City/Online TA" in done.out
    assert "beware: deposit_type" in done.err
    assert {path.name for path in (tmp_path / "hotel").iterdir()} == {
        "log.parquet",
        "schema.toml",
        "run.toml",
        "dataset.json",
    }
    about = json.loads((tmp_path / "hotel" / "dataset.json").read_text())
    assert sum(one["rows"] for one in about["rows"]) == pl.read_parquet(tmp_path / "hotel" / "log.parquet").height
    looked = polyrec("inspect", "hotel/log.parquet", "--schema", "hotel/schema.toml")
    assert looked.code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("movielens",), "Did you mean 'movielens-1m'?"),
        (("movielens-1m", "--from", "."), "--from and --out go together"),
        (("--out", "here"), "Name one of: movielens-1m"),
        (("ali-ccp", "--from", ".", "--out", "new"), "lacks files of Ali-CCP"),
    ],
)
def test_a_mistake_is_told_in_one_message(polyrec, tmp_path, arguments, words):
    done = polyrec("data", *arguments)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "new").exists()
