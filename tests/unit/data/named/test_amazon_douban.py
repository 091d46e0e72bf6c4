"""Amazon reviews (JSON lines, packed or not, and CSV without a header) and Douban (quoted texts parted by tabs)."""

import csv
import gzip
import json
import random
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from polyrec.errors import DataError

KINDS = ("book", "music", "movie")
COLUMNS = {  # of the reviews, in the files' order
    "book": ["user_id", "book_id", "rating", "labels", "comment", "time", "ID"],
    "music": ["user_id", "music_id", "rating", "labels", "comment", "useful_num", "time", "ID"],
    "movie": ["user_id", "movie_id", "rating", "comment", "time", "labels", "useful_num", "CategoryID", "ID"],
}


def reviews(folder: Path, category: str, count: int, packed: bool) -> list[tuple]:
    draw = random.Random(count)
    lines, meant = [], []
    for _ in range(count):
        one = {
            "reviewerID": f"A{draw.randrange(30)}",
            "asin": f"B{draw.randrange(40):03}",
            "reviewerName": "Ö \u2028 \"x\"",
            "helpful": [0, draw.randrange(3)],
            "reviewText": "line\nline, {not} a new row",
            "overall": float(draw.randrange(1, 6)),
            "summary": "",
            "unixReviewTime": 1_300_000_000 + draw.randrange(10**8),
            "reviewTime": "01 1, 2012",
        }  # fmt: skip
        lines.append(json.dumps(one))
        meant.append((category, one["reviewerID"], one["asin"], one["unixReviewTime"], int(one["overall"] > 3)))
    text = "\n".join(lines).encode()
    name = f"reviews_{category}_5.json"
    (folder / f"{name}.gz").write_bytes(gzip.compress(text)) if packed else (folder / name).write_bytes(text)
    return meant


def test_the_categories_of_a_folder_are_the_scenarios(tmp_path, build, taken):
    meant = reviews(tmp_path, "Beauty", 400, packed=False)
    meant += reviews(tmp_path, "Clothing_Shoes_and_Jewelry", 300, packed=True)
    done = build("amazon", tmp_path)
    assert done.rows().rows() == meant
    assert done.schema.scenarios == ("Beauty", "Clothing_Shoes_and_Jewelry")
    taken(done)
    assert done.made.differences == (
        "scenario Beauty has 400 rows; published are 198,502",
        "scenario Clothing_Shoes_and_Jewelry has 300 rows; published are 278,677",
    )


def test_ratings_stand_in_for_a_category_without_reviews(tmp_path, build):
    meant = reviews(tmp_path, "Beauty", 50, packed=False)
    (tmp_path / "ratings_Beauty.csv").write_text("A1,B1,1.0,1300000000\n")
    (tmp_path / "ratings_Books.csv").write_text("A1,B1,4.0,1300000000\nA2,B1,3.0,1300000001\n")
    done = build("amazon", tmp_path)
    books = [("Books", "A1", "B1", 1300000000, 1), ("Books", "A2", "B1", 1300000001, 0)]
    assert done.rows().rows() == meant + books
    assert done.made.notes == ("ratings_Beauty.csv is not read: reviews_Beauty_5.json is there",)


def test_reviews_that_are_no_json_or_lack_a_field_are_refused(tmp_path, build):
    path = tmp_path / "reviews_Beauty_5.json"
    path.write_text("{'reviewerID': 'A'}\n")
    with pytest.raises(DataError, match="cannot be read as lines of JSON"):
        build("amazon", tmp_path)
    path.write_text('{"reviewerID": "A", "asin": "B", "overall": 5.0}\n')
    with pytest.raises(DataError, match=r"a review lacks one of .*unixReviewTime"):
        build("amazon", tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"(?s)reviews_\*_5.json .* or ratings_\*.csv.*jmcauley"):
        build("amazon", tmp_path)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    draw = random.Random(4)
    folder = tmp_path / "raw" / "douban_dataset(text information)"
    folder.mkdir(parents=True)

    def table(name: str, columns: list[str], rows: list[list]) -> None:
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
            out.writerow(columns)
            out.writerows(rows)

    people = [
        [f"u{user}", draw.choice(["北京", "Milano, Italy", ""]),
         f"20{draw.randrange(10, 18)}-0{draw.randrange(1, 9)}-11", "I \"am\"\nme", user]
        for user in range(25)
    ]  # fmt: skip
    table("users_cleaned.txt", ["user_id", "living_place", "join_time", "self_statement", "UID"], people)
    for extra in ("books", "music", "movies"):
        table(f"{extra}_cleaned.txt", ["name", "UID"], [["an item", 1]])
    for kind in KINDS:
        rows = []
        for _ in range(300):
            stars = draw.choice(["1", "3", "4", "5", "5.0", "", " "])
            one = {
                "user_id": draw.randrange(27),
                f"{kind}_id": draw.randrange(40),
                "rating": stars,
                "comment": "a\ttab\nand a line",
                "time": "2015-03-0" + str(draw.choice("19")),
            }
            rows.append([one.get(name, "") for name in COLUMNS[kind]])
        table(f"{kind}reviews_cleaned.txt", COLUMNS[kind], rows)
    return folder


def slowly(folder: Path) -> list[tuple]:
    def read(name: str) -> list[dict[str, str]]:
        with (folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    people = {one["UID"]: one for one in read("users_cleaned.txt")}
    rows = []
    for kind in KINDS:
        for one in read(f"{kind}reviews_cleaned.txt"):
            person = people.get(one["user_id"], {"living_place": "", "join_time": ""})
            stars = one["rating"].strip()
            label = int(float(stars) > 3) if stars else None
            month = person["join_time"][:7] or None
            item = f"{kind}:{one[f'{kind}_id']}"
            when = date.fromisoformat(one["time"])
            rows.append((kind, one["user_id"], item, person["living_place"] or None, month, when, label))
    return rows


def test_ratings_of_three_kinds_are_one_log_in_which_no_two_kinds_share_an_item(raw, build, taken):
    done = build("douban", raw.parent)
    assert done.rows().rows() == slowly(raw)
    taken(done)
    bare = sum(1 for row in slowly(raw) if row[-1] is None)
    assert done.made.notes == (f"{bare} reviews have no rating: their label is not observed",)


def test_a_bad_rating_a_missing_column_and_a_missing_file_are_named(raw, build):
    path = raw / "musicreviews_cleaned.txt"
    text = path.read_text(encoding="utf-8")
    row = '"1"\t"2"\t"{}"\t"x"\t"y"\t"0"\t"2015-03-01"\t"9"\n'
    path.write_text(text + row.format("good"), encoding="utf-8")
    with pytest.raises(DataError, match="rating 'good' is not a number"):
        build("douban", raw)
    path.write_text(text + '"1"\t"2"\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"line 602: 2 fields where 8 are expected"):
        build("douban", raw)
    path.write_text(text.replace("music_id", "song_id", 1), encoding="utf-8")
    with pytest.raises(DataError, match="has no column music_id"):
        build("douban", raw)
    path.unlink()
    with pytest.raises(DataError, match=r"(?s)musicreviews_cleaned.txt.*kaggle"):
        build("douban", raw)


def test_quotes_that_are_not_doubled_stay_in_their_row(raw, build):
    path = raw / "moviereviews_cleaned.txt"
    head = "\t".join(f'"{name}"' for name in COLUMNS["movie"])
    said = [r"a \"good\" film", 'one " alone', "over\r\ntwo lines", 'doubled ""as is due""', '6" high, cut short']
    rows = [f'"{user}"\t"7"\t"5"\t"{words}"\t"2015-03-01"\t"x"\t"0"\t"1"\t"2"' for user, words in enumerate(said)]
    rows[-1] = rows[-1].removesuffix('\t"1"\t"2"')
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8", newline="")
    films = build("douban", raw).rows().filter(pl.col("kind") == "movie")
    assert films["user_id"].to_list() == ["0", "1", "2", "3", "4"]
    assert set(films["item_id"]) == {"movie:7"}
    assert films["like"].to_list() == [1] * 5
