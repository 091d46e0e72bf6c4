r"""Ali-CCP from files in its raw form: \x01, \x02, \x03, two files a part, no header."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polyrec.data.named.ali_ccp import FIELDS, ITEM, USER
from polyrec.errors import DataError

CROSSED = ("508", "509", "702", "853")


def features(pairs: list[tuple[str, int]]) -> str:
    return "\x01".join(f"{field}\x02{one}\x031.0" for field, one in pairs)


def write(folder: Path, name: str, rows: int, users: int, draw: random.Random) -> None:
    """Two files of a part; some fields are absent, histories have many values, some rows are impossible."""
    with (folder / f"common_features_{name}.csv").open("w") as file:
        for user in range(users):
            pairs = [(field, draw.randrange(1, 50)) for field in USER if field != "122" or user % 3]
            pairs += [(field, draw.randrange(1, 999)) for field in ("109_14", "127_14") for _ in range(5)]
            draw.shuffle(pairs)
            file.write(f"{name}{user:08x},{len(pairs)},{features(pairs)}\n")
    with (folder / f"sample_skeleton_{name}.csv").open("w") as file:
        for row in range(rows):
            click, buy = draw.random() < 0.3, draw.random() < 0.1
            pairs = [(field, draw.randrange(1, 90)) for field in (*ITEM, *CROSSED) if draw.random() < 0.9]
            pairs += [("210", draw.randrange(1, 90)) for _ in range(3)]
            pairs += [("301", draw.choice([9351665, 9351666, 9351667]))] if draw.random() < 0.98 else []
            key = f"{name}{draw.randrange(users):08x}"
            file.write(f"{row},{int(click)},{int(buy)},{key},{len(pairs)},{features(pairs)}\n")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    draw = random.Random(1)
    write(folder, "train", 4_000, 120, draw)
    write(folder, "test", 900, 50, draw)
    return folder


def slowly(folder: Path, name: str) -> dict[int, dict[str, int | None]]:
    """Rows by sample, the plain way: dictionaries updated in turn, as AITM's code does."""

    def fields(text: str) -> dict[str, int]:
        found = {}
        for one in text.split("\x01"):
            field, rest = one.split("\x02")
            found[field] = int(rest.split("\x03")[0])
        return found

    common = {}
    for line in (folder / f"common_features_{name}.csv").read_text().split("\n")[:-1]:
        key, _, text = line.split(",")
        common[key] = fields(text)
    rows = {}
    for line in (folder / f"sample_skeleton_{name}.csv").read_text().split("\n")[:-1]:
        sample, click, buy, key, _, text = line.split(",")
        both = fields(text)
        both.update(common[key])
        if (click, buy) != ("0", "1") and "301" in both:
            labels = {"click": int(click), "conversion": int(buy)}
            rows[int(sample)] = {**labels, **{field: both.get(field) for field in FIELDS}}
    return rows


def by_sample(frame: pl.DataFrame) -> dict[int, dict[str, int | None]]:
    return {row.pop("sample_id"): row for row in frame.rows(named=True)}


def test_rows_are_those_of_a_plain_reading_with_dictionaries(raw, build):
    done = build("ali-ccp", raw)
    train = by_sample(pl.concat([done.rows("train"), done.rows("valid")]))
    assert train == slowly(raw, "train")
    assert by_sample(done.rows("test")) == slowly(raw, "test")
    left_out = 4_900 - len(train) - done.rows("test").height
    assert sum(int(note.split()[0]) for note in done.made.notes) == left_out > 0


def test_rows_keep_the_files_order_and_a_tenth_of_training_validates(raw, build):
    done = build("ali-ccp", raw)
    for part in ("train", "valid", "test"):
        assert done.rows(part)["sample_id"].is_sorted()
    share = done.rows("valid").height / (done.rows("train").height + done.rows("valid").height)
    assert 0.07 < share < 0.13
    assert build("ali-ccp", raw, "again").rows("valid").equals(done.rows("valid"))


def test_inspection_takes_the_three_files(raw, build, taken):
    done = build("ali-ccp", raw)
    taken(done)
    assert done.schema.task("conversion").after == "click"
    assert {row[0] for row in done.rows("train").select("301").rows()} == {9351665, 9351666, 9351667}


def test_of_a_field_or_key_given_twice_the_last_counts_and_the_users_stands_before_the_rows_own(raw, build):
    own = features([("205", 1), ("205", 2), ("101", 5), ("301", 9351665)])
    with (raw / "sample_skeleton_test.csv").open("a") as file:
        file.write(f"7777,1,1,extra,4,{own}\n")
    with (raw / "common_features_test.csv").open("a") as file:
        file.write(f"extra,1,{features([('101', 8)])}\n")
        file.write(f"extra,1,{features([('101', 6), ('101', 7)])}\n")
    row = build("ali-ccp", raw).rows("test").filter(pl.col("sample_id") == 7777).row(0, named=True)
    assert (row["205"], row["101"], row["click"], row["conversion"]) == (2, 7, 1, 1)


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        (
            "sample_skeleton_train.csv",
            "1,0,0,nobody,1,301\x021\x031.0",
            r"key 'nobody', which the common features lack",
        ),
        ("sample_skeleton_train.csv", "1,0,0,train00000000", r"line 4001: 4 fields where 6 are expected"),
        (
            "sample_skeleton_train.csv",
            "1,x,0,train00000000,1,301\x021\x031.0",
            r"line 4001: click = 'x' is not a whole",
        ),
        ("sample_skeleton_train.csv", "1,0,0,train00000000,1,301\x021", r"sample_id 1 are not field .*x02 id"),
        ("sample_skeleton_test.csv", "1,0,0,test00000000,1,301\x02a\x031.0", r"field 301 of sample_id 1 is 'a'"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(raw, build, tmp_path, file, line, words):
    with (raw / file).open("a") as handle:
        handle.write(line + "\n")
    with pytest.raises(DataError, match=words):
        build("ali-ccp", raw)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_every_missing_file_is_named_with_where_to_get_it(raw, build):
    (raw / "common_features_test.csv").unlink()
    (raw / "sample_skeleton_train.csv").unlink()
    with pytest.raises(DataError, match=r"(?s)sample_skeleton_train.csv.*common_features_test.csv.*tianchi.*Unpack"):
        build("ali-ccp", raw)


MEASURE = """
import resource, sys
from pathlib import Path
from polyrec.data import named
named.make(named.get("ali-ccp"), Path(sys.argv[1]), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(raw, tmp_path):
    lines = (raw / "sample_skeleton_train.csv").read_bytes()
    peaks = []
    for place, megabytes in enumerate((120, 480)):
        with (raw / "sample_skeleton_train.csv").open("wb") as file:
            for _ in range(megabytes * 10**6 // len(lines)):
                file.write(lines)
        command = [sys.executable, "-c", MEASURE, str(raw), str(tmp_path / f"out{place}")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=500)
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.25 * peaks[0]
    assert np.diff(peaks)[0] < 150_000  # kilobytes, for 360 MB more of text
