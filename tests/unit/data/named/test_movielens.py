"""MovieLens-1M from files in its raw form: `::`, latin-1, no header."""

import random
from pathlib import Path

import polars as pl
import pytest

from polyrec.data import named
from polyrec.errors import DataError
from polyrec.evaluation.report import Report
from polyrec.recipes.fit import fit
from polyrec.schema import Target

AGES = (1, 18, 25, 35, 45, 50, 56)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    draw = random.Random(0)
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    users = [
        f"{user}::{draw.choice('MF')}::{draw.choice(AGES)}::{draw.randrange(21)}::{draw.choice(['48067', '02460-1'])}"
        for user in range(1, 121)
    ]
    films = [f"{film}::Été à {film} (1999)::{draw.choice(['Drama', 'Comedy|War'])}" for film in range(1, 61)]
    ratings = [
        f"{user}::{film}::{draw.choice([1, 2, 3, 4, 5, 5])}::{draw.randrange(956703932, 1046454590)}"
        for user in range(1, 121)
        for film in draw.sample(range(1, 61), 30)
    ]
    for name, lines in (("users", users), ("movies", films), ("ratings", ratings)):
        (folder / f"{name}.dat").write_bytes("".join(f"{one}\n" for one in lines).encode("latin-1"))
    return folder


def slowly(folder: Path) -> list[tuple]:
    """The log by hand: one dictionary a file, one line at a time."""

    def lines(name: str) -> list[list[str]]:
        return [line.split("::") for line in (folder / name).read_text("latin-1").splitlines()]

    people = {one[0]: one for one in lines("users.dat")}
    genres = {one[0]: one[2].split("|")[0] for one in lines("movies.dat")}
    rows = []
    for user, film, stars, when in lines("ratings.dat"):
        _, gender, age, work, zipped = people[user]
        group = "under-25" if int(age) < 25 else "25-34" if int(age) < 35 else "35-plus"
        marks = int(int(stars) >= 4), int(int(stars) == 5)
        rows.append((int(user), int(film), int(when), gender, int(age), int(work), zipped, group, genres[film], *marks))
    return rows


def test_every_rating_is_a_row_with_its_user_its_film_and_two_labels(raw, build):
    rows = build("movielens-1m", raw).rows()
    columns = ["user_id", "movie_id", "timestamp", "gender", "age", "occupation", "zip", "age_group", "genre"]
    assert rows.select(*columns, "click", "like").rows() == slowly(raw)


def test_no_column_of_the_log_is_the_rating_itself(raw, build):
    assert "rating" not in build("movielens-1m", raw).rows().columns


def test_inspection_takes_the_log_and_the_run_file_splits_it_at_random(raw, build, taken):
    done = build("movielens-1m", raw)
    taken(done)
    assert done.run.data.split.by == "random"
    assert done.schema.scenarios == ("under-25", "25-34", "35-plus")


@pytest.mark.slow
def test_fit_trains_on_the_run_file_as_it_stands(raw, build):
    done = build("movielens-1m", raw)
    folder = fit(done.run, done.folder / "run")
    report = Report.load(folder.report)
    for scenario in ("under-25", "25-34", "35-plus"):
        assert report.get(scenario, Target("click")).n > 0


def test_sizes_and_counts_other_than_the_published_ones_are_told_and_refused_when_strict(raw, build):
    done = build("movielens-1m", raw)
    assert any("ratings.dat has" in one and "24,594,131" in one for one in done.made.differences)
    assert any("210,747" in one for one in done.made.differences)
    assert done.about["differences"] == list(done.made.differences)
    with pytest.raises(DataError, match=r"users.dat has .* the published one has 134,368"):
        build("movielens-1m", raw, "strict", strict=True)
    assert not (raw.parent / "strict").exists()


def test_the_archives_checksum_is_held_against_the_published_one(raw, build):
    (raw / "ml-1m.zip").write_bytes(b"another archive")
    told = build("movielens-1m", raw).made.differences
    assert any("ml-1m.zip has the MD5" in one and "c4d9eecfca2ab87c1945afe126590906" in one for one in told)


def test_a_missing_file_is_named_with_where_to_get_it(raw, build):
    (raw / "users.dat").unlink()
    with pytest.raises(DataError, match=r"lacks files of MovieLens-1M: users.dat.*\n.*grouplens.org.*research"):
        build("movielens-1m", raw)


@pytest.mark.parametrize(
    ("file", "line", "words"),
    [
        ("ratings.dat", "7::11::5", r"ratings.dat, line 3601: 3 fields where 4 are expected"),
        ("ratings.dat", "7::11::five::1", r"ratings.dat, line 3601: rating = 'five' is not a whole number"),
        ("ratings.dat", "999::11::5::1", r"ratings.dat has user_id 999, which users.dat does not"),
        ("ratings.dat", "7::999::5::1", r"ratings.dat has movie_id 999, which movies.dat does not"),
        ("users.dat", "121::M::33::1::1", r"user 121 has age 33, which is none of 1, 18"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(raw, build, tmp_path, file, line, words):
    with (raw / file).open("a") as handle:
        handle.write(line + "\n")
    with pytest.raises(DataError, match=words):
        build("movielens-1m", raw)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ml-1m"]


def test_an_output_folder_with_files_is_left_alone(raw, build, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not an empty folder"):
        build("movielens-1m", raw)
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_files_are_found_below_the_folder_and_two_of_one_name_are_refused(raw, build, tmp_path):
    assert build("movielens-1m", raw.parent, "below").rows().height == 3_600
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "users.dat").write_text("1::M::1::1::1\n")
    with pytest.raises(DataError, match=r"users.dat is in several folders"):
        build("movielens-1m", raw.parent)


def test_what_the_labels_count_is_what_the_log_holds(raw, build):
    done = build("movielens-1m", raw)
    for (part, scenario), numbers in done.made.counts.items():
        rows = done.rows(part).filter(pl.col("age_group") == scenario)
        assert numbers == [rows.height, rows["click"].sum(), rows["like"].sum()]


def test_progress_is_told_in_bytes(raw, build):
    said: list[tuple[str, int, int]] = []
    build("movielens-1m", raw, progress=lambda *one: said.append(one))
    size = (raw / "ratings.dat").stat().st_size
    assert said[-1] == ("reading ratings.dat", size, size)


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(Exception, match=r"data set 'movielens' is not known.*Did you mean 'movielens-1m'"):
        named.get("movielens")
