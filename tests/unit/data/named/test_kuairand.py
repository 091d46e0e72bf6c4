"""KuaiRand from files in its raw form: a line of names, whole numbers written as 3.0, tags in quotes."""

import csv
import random
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from polyrec.errors import DataError

LOG = [
    "user_id",
    "video_id",
    "date",
    "hourmin",
    "time_ms",
    "is_click",
    "is_like",
    "is_follow",
    "is_comment",
    "is_forward",
    "is_hate",
    "long_view",
    "play_time_ms",
    "duration_ms",
    "profile_stay_time",
    "comment_stay_time",
    "is_profile_enter",
    "is_rand",
    "tab",
]
USER = [
    "user_id",
    "user_active_degree",
    "is_lowactive_period",
    "is_live_streamer",
    "is_video_author",
    "follow_user_num",
    "follow_user_num_range",
    "fans_user_num",
    "fans_user_num_range",
    "friend_user_num",
    "friend_user_num_range",
    "register_days",
    "register_days_range",
] + [f"onehot_feat{place}" for place in range(18)]
VIDEO = [
    "video_id",
    "author_id",
    "video_type",
    "upload_dt",
    "upload_type",
    "visible_status",
    "video_duration",
    "server_width",
    "server_height",
    "music_id",
    "music_type",
    "tag",
]
LOGS = {
    "pure": ("log_standard_4_08_to_4_21", "log_standard_4_22_to_5_08", "log_random_4_22_to_5_08"),
    "1k": ("log_standard_4_08_to_4_21", "log_standard_4_22_to_5_08"),
}
TABS = {"pure": {0, 1, 4}, "1k": {0, 1, 2, 4, 6}}


def write(folder: Path, ending: str, users: int = 40, videos: int = 60, rows: int = 500) -> Path:
    draw = random.Random(3)
    data = folder / "data"
    data.mkdir(parents=True)

    def table(name: str, columns: list[str], lines: list[list]) -> None:
        with (data / f"{name}_{ending}.csv").open("w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(columns)
            out.writerows(lines)

    people = []
    for user in range(users):
        numbers = [draw.randrange(900), "(0,10]", draw.randrange(900), "[1,10)", draw.randrange(9), "0", 30, "730+"]
        codes = ["" if draw.random() < 0.2 else f"{draw.randrange(5)}.0" for _ in range(18)]
        people.append([user, draw.choice(["full_active", "UNKNOWN"]), 0, 0, 1, *numbers, *codes])
    table("user_features", USER, people)
    films = []
    for video in range(videos):
        when = draw.choice(["2022-04-01", "2020-07-08", ""])
        music = draw.choice(["989206467.0", "", "1"])
        tag = draw.choice(["12,65", "3", ""])
        films.append([video, video % 7, "NORMAL", when, "Short", "1.0", "17200.0", 720, 1280, music, "4.0", tag])
    table("video_features_basic", VIDEO, films)
    for name in LOGS["pure"]:
        lines = []
        for _ in range(rows):
            day = draw.choice([20220408, 20220421, 20220508])
            marks = [draw.randrange(2) for _ in range(7)]
            time = 1650000000000 + draw.randrange(10**9)
            end = [draw.randrange(9999), 104400, 0, 0, 0, int("random" in name), draw.choice([0, 1, 1, 2, 4, 6, 9])]
            lines.append([draw.randrange(users), draw.randrange(videos), day, draw.choice([5, 400, 2359]), time])
            lines[-1] += marks + end
        table(name, LOG, lines)
    return data


def slowly(data: Path, ending: str) -> list[dict]:
    """The log by csv's own reader, a dictionary a row."""

    def read(name: str) -> list[dict[str, str]]:
        with (data / f"{name}_{ending}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def whole(text: str) -> int | None:
        return int(float(text)) if text else None

    people = {one["user_id"]: one for one in read("user_features")}
    films = {one["video_id"]: one for one in read("video_features_basic")}
    rows = []
    for one in (row for name in LOGS[ending] for row in read(name)):
        if int(one["tab"]) not in TABS[ending]:
            continue
        person, film = people[one["user_id"]], films[one["video_id"]]
        day = date(int(one["date"][:4]), int(one["date"][4:6]), int(one["date"][6:]))
        made = {name: int(one[name]) for name in ("user_id", "video_id", "time_ms", "is_click", "long_view", "tab")}
        made["hour"] = int(one["hourmin"]) // 100
        made["upload_days"] = (day - date.fromisoformat(film["upload_dt"])).days if film["upload_dt"] else None
        made["music_id"] = whole(film["music_id"])
        made["tag"] = [int(tag) for tag in film["tag"].split(",")] if film["tag"] else None
        made["onehot_feat3"] = whole(person["onehot_feat3"])
        degree = person["user_active_degree"]
        made["user_active_degree"] = None if degree == "UNKNOWN" else degree
        made["fans_user_num"] = float(person["fans_user_num"])
        rows.append(made)
    return rows


@pytest.mark.parametrize("ending", ["pure", "1k"])
def test_rows_of_the_tabs_have_their_users_and_videos(tmp_path, build, ending):
    data = write(tmp_path / "raw", ending)
    expected = slowly(data, ending)
    done = build(f"kuairand-{ending}", tmp_path / "raw")
    rows = done.rows().select(list(expected[0])).rows(named=True)
    assert rows == expected
    assert set(done.schema.scenarios) == {str(tab) for tab in TABS[ending]}
    total = 500 * len(LOGS[ending])
    assert done.made.notes[0] == f"{total - len(expected):,} rows of other tabs are left out"


@pytest.mark.parametrize("ending", ["pure", "1k"])
def test_inspection_takes_the_log(tmp_path, build, taken, ending):
    write(tmp_path / "raw", ending)
    taken(build(f"kuairand-{ending}", tmp_path / "raw"))


def test_whole_period_statistics_are_never_read_and_their_presence_is_told(tmp_path, build):
    data = write(tmp_path / "raw", "pure")
    (data / "video_features_statistic_pure.csv").write_text("not even a table")
    done = build("kuairand-pure", tmp_path / "raw")
    assert any("video_features_statistic_pure.csv is there and was not read" in note for note in done.made.notes)
    assert any("statistic" in one for one in done.about["notes"])
    leaky = {"play_time_ms", "visible_status", "profile_stay_time", "comment_stay_time", "show_cnt", "play_progress"}
    assert not leaky & set(done.rows().columns)


def test_what_the_user_does_afterwards_is_no_feature(tmp_path, build):
    write(tmp_path / "raw", "pure")
    features = {one.name for one in build("kuairand-pure", tmp_path / "raw").schema.features}
    assert not features & {"is_like", "is_follow", "is_comment", "is_forward", "is_hate", "is_click", "long_view"}


def test_features_of_another_version_are_refused(tmp_path, build):
    data = write(tmp_path / "raw", "pure")
    lines = (data / "user_features_pure.csv").read_text().splitlines()
    (data / "user_features_pure.csv").write_text("\n".join(lines[:20]) + "\n")
    with pytest.raises(DataError, match=r"user_id \d+, and .* have no partner.*one download"):
        build("kuairand-pure", tmp_path / "raw")


def test_a_rare_video_without_features_is_left_out_and_counted(tmp_path, build):
    data = write(tmp_path / "raw", "pure")
    log = data / "log_random_4_22_to_5_08_pure.csv"
    first = log.read_text().splitlines()[1].split(",")
    first[LOG.index("video_id")], first[LOG.index("tab")] = "999999", "1"
    with log.open("a") as file:
        file.write(",".join(first) + "\n")
    done = build("kuairand-pure", tmp_path / "raw")
    assert "1 rows are left out: their user or video has no features" in done.made.notes
    assert 999999 not in done.rows()["video_id"]


def test_a_missing_column_and_a_missing_file_are_named(tmp_path, build):
    data = write(tmp_path / "raw", "pure")
    log = data / "log_random_4_22_to_5_08_pure.csv"
    log.write_text(log.read_text().replace("long_view", "longview", 1))
    with pytest.raises(DataError, match=r"log_random.*has no column long_view"):
        build("kuairand-pure", tmp_path / "raw")
    videos = pl.read_csv(data / "video_features_basic_pure.csv").drop("music_id")
    videos.write_csv(data / "video_features_basic_pure.csv")
    with pytest.raises(DataError, match=r"video_features_basic_pure.csv has no column music_id"):
        build("kuairand-pure", tmp_path / "raw")
    log.unlink()
    with pytest.raises(DataError, match=r"(?s)lacks files of KuaiRand-Pure: log_random.*zenodo.*CC BY-SA"):
        build("kuairand-pure", tmp_path / "raw")
