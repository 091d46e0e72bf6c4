"""AliExpress from files in its raw form: 33 and 49 columns without names, joined by the first."""

import random
from pathlib import Path

import polars as pl
import pytest

from polyrec.errors import DataError

COUNTRIES = ("nl", "es", "fr", "us")
CATEGORIES = [f"user_{place}" for place in (2, 3, 4, 5, 6, 7, 8, 32, 33)]
CATEGORIES += [f"item_{place}" for place in (19, 34, 35, 36, 40, 41, 42)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    draw = random.Random(5)
    folder = tmp_path / "raw"
    for country in COUNTRIES:
        (folder / country).mkdir(parents=True)
        for part, pages in (("train", 60), ("test", 20)):
            names = [f"{country}{part}{page}" for page in range(pages)]
            users = open_file(folder, country, "user", part)
            items = open_file(folder, country, "item", part)
            for name in names:
                values = [
                    f"{draw.randrange(9)}.0" if f"user_{place}" in CATEGORIES else f"{draw.random():.4f}"
                    for place in range(2, 34)
                ]
                users.write(",".join([name, *values]) + "\n")
            for name in (draw.choice(names) for _ in range(10 * pages)):
                values = [
                    str(draw.randrange(9)) if f"item_{place}" in CATEGORIES else f"{draw.random():.4f}"
                    for place in range(2, 49)
                ]
                items.write(",".join([name, *values, draw.choice("0001112")]) + "\n")
            users.close()
            items.close()
    return folder


def open_file(folder, country, side, part):
    return (folder / country / f"{country}_{side}_{part}.csv").open("w")


def slowly(folder: Path, part: str, countries: tuple[str, ...] = COUNTRIES) -> list[list]:
    rows = []
    for country in countries:
        users = {}
        for line in (folder / country / f"{country}_user_{part}.csv").read_text().splitlines():
            page, *values = line.split(",")
            users[page] = values
        for line in (folder / country / f"{country}_item_{part}.csv").read_text().splitlines():
            page, *values, label = line.split(",")
            numbers = [float(value) for value in (*users[page], *values)]
            rows.append([country.upper(), page, *numbers, int(label != "0"), int(label == "2")])
    return rows


def same(mine: pl.DataFrame, theirs: list[list]) -> None:
    rows = [list(row) for row in mine.rows()]
    assert len(rows) == len(theirs)
    for one, other in zip(rows, theirs, strict=True):
        assert one[:2] == other[:2]
        assert one[2:] == pytest.approx(other[2:], rel=1e-6)


def test_items_are_joined_with_the_users_of_their_page_in_the_files_order(raw, build):
    done = build("aliexpress", raw)
    same(done.rows("test"), slowly(raw, "test"))
    held = set(done.rows("valid")["search_id"])
    train = slowly(raw, "train")
    same(done.rows("train"), [row for row in train if row[1] not in held])
    same(done.rows("valid"), [row for row in train if row[1] in held])


def test_no_page_is_in_training_and_validation(raw, build):
    done = build("aliexpress", raw)
    train, valid = set(done.rows("train")["search_id"]), set(done.rows("valid")["search_id"])
    assert valid
    assert not train & valid


def test_inspection_takes_the_files_and_categories_are_whole_numbers(raw, build, taken):
    done = build("aliexpress", raw)
    taken(done)
    assert {one.name for one in done.schema.features if one.kind == "categorical"} == set(CATEGORIES)
    assert all(done.rows("train")[name].dtype == pl.Int64 for name in CATEGORIES)


@pytest.mark.parametrize(
    ("side", "place", "value", "words"),
    [
        ("item", 48, "3", r"the last column of page 'usnew' is 3; it is 0"),
        ("item", 18, "1.5", r"item_19 = 1.5 is not a whole number, and it is a category"),
        ("item", 5, "much", r"item_6 = 'much' is not a number"),
        ("user", 1, "0.25", r"user_2 = 0.25 is not a whole number"),
    ],
)
def test_a_bad_value_is_named(raw, build, side, place, value, words):
    for which, width in (("user", 33), ("item", 49)):
        fields = ["usnew", *["0"] * (width - 1)]
        if which == side:
            fields[place] = value
        with (raw / "us" / f"us_{which}_test.csv").open("a") as file:
            file.write(",".join(fields) + "\n")
    with pytest.raises(DataError, match=words):
        build("aliexpress", raw)


def test_pages_without_their_user_are_refused_when_they_are_many(raw, build):
    path = raw / "fr" / "fr_user_test.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[3:]) + "\n")
    with pytest.raises(DataError, match=r"fr_item_test.csv: search_id '.*', and .* have no partner"):
        build("aliexpress", raw)


def test_a_rare_page_without_its_user_is_left_out_and_counted(raw, build):
    with (raw / "us" / "us_item_test.csv").open("a") as file:
        file.write(",".join(["nobody", *["0"] * 48]) + "\n")
    done = build("aliexpress", raw)
    assert done.made.notes == ("1 rows are left out: their page has no user",)
    assert "nobody" not in done.rows("test")["search_id"]


def test_a_page_given_twice_alike_is_one_and_otherwise_refused(raw, build):
    path = raw / "fr" / "fr_user_test.csv"
    lines = path.read_text().splitlines()
    expected = build("aliexpress", raw).rows("test")
    path.write_text("\n".join([*lines, lines[0]]) + "\n")
    assert build("aliexpress", raw, "twice").rows("test").equals(expected)
    path.write_text("\n".join([*lines, lines[0][:-3] + "99.0"]) + "\n")
    with pytest.raises(DataError, match=r"has the page '.*' more than once"):
        build("aliexpress", raw, "another")


def test_the_countries_of_the_folder_are_the_scenarios_and_one_is_enough(raw, build, taken):
    for country in ("nl", "es", "fr"):
        for path in (raw / country).iterdir():
            path.unlink()
    done = build("aliexpress", raw)
    taken(done)
    assert done.schema.scenarios == ("US",)
    same(done.rows("test"), slowly(raw, "test", ("us",)))


def test_half_a_country_is_refused_and_other_countries_are_not_asked_for(raw, build):
    for path in (raw / "nl").iterdir():
        path.unlink()
    (raw / "es" / "es_user_test.csv").unlink()
    with pytest.raises(DataError, match=r"lacks files of AliExpress.*es_user_test.csv") as told:
        build("aliexpress", raw)
    assert "nl_" not in str(told.value)
    for country in COUNTRIES:
        for path in (raw / country).iterdir():
            path.unlink()
    with pytest.raises(DataError, match=r"nl_item_train.csv, .*nl_user_test.csv \(all of NL; or as many of ES"):
        build("aliexpress", raw)


def test_all_missing_files_are_named_at_once(raw, build):
    for name in ("user_train", "item_train"):
        (raw / "es" / f"es_{name}.csv").unlink()
    with pytest.raises(DataError, match=r"(?s)es_item_train.csv.*es_user_train.csv.*tianchi"):
        build("aliexpress", raw)
