"""Census-income (KDD) from files in its raw form: 42 columns, a space after each comma, `?`, plain or packed."""

import gzip
import random
from pathlib import Path

import pytest

from polyrec.data.named.census import COLUMNS
from polyrec.errors import DataError

NUMBERS = {"age", "wage_per_hour", "capital_gains", "capital_losses", "dividends", "employer_size", "weeks_worked"}


def lines(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        fields = [
            str(draw.randrange(90)) if name in NUMBERS else draw.choice([" Not in universe", " Yes", " ?"]).strip()
            for name in COLUMNS
        ]
        fields[COLUMNS.index("marital")] = draw.choice(["Never married", "Divorced"])
        fields[COLUMNS.index("instance_weight")] = "1700.09"
        fields[COLUMNS.index("income")] = draw.choice(["- 50000.", "- 50000.", "50000+."])
        made.append(", ".join(fields))
    return made


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def raw(request, tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, count in (("data", 400), ("test", 201)):
        text = "\n".join(lines(count, count)) + "\n\n"
        if request.param:
            (folder / f"census-income.{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"census-income.{name}").write_text(text)
    return folder


def slowly(text: list[str]) -> list[tuple]:
    rows = []
    for line in text:
        values = dict(zip(COLUMNS, (field.strip() for field in line.split(",")), strict=True))
        labels = int(values.pop("income") == "50000+."), int(values.pop("marital") == "Never married")
        del values["instance_weight"]
        shown = [int(one) if name in NUMBERS else None if one == "?" else one for name, one in values.items()]
        rows.append(("census", *shown, *labels))
    return rows


def test_rows_are_those_of_a_plain_reading_and_the_test_file_is_halved(raw, build):
    done = build("census-income", raw)
    assert done.rows("train").rows() == slowly(lines(400, 400))
    assert done.rows("valid").rows() == slowly(lines(201, 201)[::2])
    assert done.rows("test").rows() == slowly(lines(201, 201)[1::2])


def test_inspection_takes_the_files_and_neither_label_nor_weight_is_a_feature(raw, build, taken):
    done = build("census-income", raw)
    taken(done)
    features = {one.name for one in done.schema.features}
    assert len(features) == 39
    assert not features & {"marital", "instance_weight", "income"}
    assert any("0.99" in note for note in done.about["notes"])


def test_the_older_adult_set_is_refused(tmp_path, build):
    adult = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, <=50K\n"
    (tmp_path / "census-income.data").write_text(adult)
    (tmp_path / "census-income.test").write_text(adult)
    with pytest.raises(DataError, match=r"line 1: 8 fields where 42 are expected"):
        build("census-income", tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("income", "<=50K", "income '<=50K' is none of"), ("age", "old", "age = 'old' is not a whole number")],
)
def test_a_bad_value_is_named(tmp_path, build, column, value, words):
    fields = lines(1, 1)[0].split(", ")
    fields[COLUMNS.index(column)] = value
    for name in ("data", "test"):
        (tmp_path / f"census-income.{name}").write_text(", ".join(fields) + "\n")
    with pytest.raises(DataError, match=words):
        build("census-income", tmp_path)


def test_either_form_of_a_file_is_asked_for_by_name(tmp_path, build):
    (tmp_path / "census-income.data").write_text(lines(1, 1)[0] + "\n")
    with pytest.raises(DataError, match=r"census-income.test \(.*\) or census-income.test.gz"):
        build("census-income", tmp_path)
