"""KuaiRand-Pure and KuaiRand-1K: short videos shown in the tabs of one app, which are the scenarios."""

from collections.abc import Iterator
from functools import partial
from itertools import zip_longest
from pathlib import Path

import polars as pl

from polyrec.data.named.dataset import Built, DataSet, RawFile, Sources
from polyrec.data.named.lines import Kind, tables
from polyrec.data.named.match import matched
from polyrec.data.named.parts import Parts
from polyrec.errors import DataError
from polyrec.schema import Feature, Keys, Schema, Task

_OUTCOMES = ("is_like", "is_follow", "is_comment", "is_forward", "is_hate")
_LOG: dict[str, Kind] = {
    "user_id": pl.Int64,
    "video_id": pl.Int64,
    "date": pl.Int32,
    "hourmin": pl.Int32,
    "time_ms": pl.Int64,
    "duration_ms": pl.Float64,
    "tab": pl.Int8,
    "is_rand": pl.Int8,
    **dict.fromkeys(("is_click", "long_view", *_OUTCOMES), pl.Int8),
}
_RANGES = tuple(f"{name}_range" for name in ("follow_user_num", "fans_user_num", "friend_user_num", "register_days"))
_NUMBERS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
_FLAGS = ("is_lowactive_period", "is_live_streamer", "is_video_author")
_CODES = tuple(f"onehot_feat{place}" for place in range(18))
_USER_CATEGORIES = ("user_active_degree", *_FLAGS, *_RANGES, *_CODES)
_VIDEO = ("author_id", "video_type", "upload_type", "music_id", "music_type")
_SIZES = ("server_width", "server_height")
_WHOLE = ("author_id", "music_id", "music_type", *_FLAGS, *_CODES)  # whole numbers, some written as 3.0


def schema(tabs: tuple[int, ...]) -> Schema:
    """The declaration of the log."""
    features = [Feature("user_id", "categorical", "user")]
    features += [Feature(name, "categorical", "user") for name in _USER_CATEGORIES]
    features += [Feature(name, "numeric", "user") for name in _NUMBERS]
    features += [Feature(name, "categorical", "item") for name in ("video_id", *_VIDEO)]
    features.append(Feature("tag", "sequence", "item", max_length=10))
    features += [Feature(name, "numeric", "item") for name in ("duration_ms", *_SIZES)]
    features += [Feature("upload_days", "numeric"), Feature("hour", "categorical")]
    return Schema(
        keys=Keys("tab", user="user_id", item="video_id", time="time_ms"),
        features=tuple(features),
        tasks=(Task("click", "is_click"), Task("long_view", "long_view")),
        scenarios=tuple(map(str, tabs)),
    )


def build(sources: Sources, parts: Parts, *, ending: str, logs: tuple[str, ...], tabs: tuple[int, ...]) -> Built:
    """Rows of the tabs, with their users and videos; the files of whole-period statistics are not opened."""
    users = _users(sources[f"user_features_{ending}.csv"])
    videos = _videos(sources[f"video_features_basic_{ending}.csv"])
    elsewhere = bare = 0
    for name in logs:
        path = sources[f"{name}_{ending}.csv"]
        for rows in tables(path, _LOG, header=True, progress=sources.progress):
            here = rows.filter(pl.col("tab").is_in(tabs))
            kept = matched(matched(here, "user_id", users, path), "video_id", videos, path)
            elsewhere += len(rows) - len(here)
            bare += len(here) - len(kept)
            parts.add("log", _joined(kept, users, videos))
    notes = [f"{elsewhere:,} rows of other tabs are left out"] if elsewhere else []
    notes += [f"{bare:,} rows are left out: their user or video has no features"] if bare else []
    notes += [
        f"{path.name} is there and was not read: it is averaged over the whole month, test rows included"
        for path in sorted(sources.folder.rglob("video_features_statistic_*"))
    ]
    split = {"by": "random", "valid": 0.1, "test": 0.1}
    return Built(schema(tabs), {"log": ["log.parquet"], "split": split}, tuple(notes))


def _joined(rows: pl.DataFrame, users: pl.DataFrame, videos: pl.DataFrame) -> pl.DataFrame:
    rows = rows.join(users, on="user_id", how="left", maintain_order="left")
    rows = rows.join(videos, on="video_id", how="left", maintain_order="left")
    day = pl.col("date").cast(pl.String).str.to_date("%Y%m%d")
    return rows.with_columns(
        hour=(pl.col("hourmin") // 100).cast(pl.Int8), upload_days=(day - pl.col("upload_dt")).dt.total_days()
    ).drop("hourmin", "upload_dt")


def _users(path: Path) -> pl.DataFrame:
    columns = ["user_id", *_USER_CATEGORIES, *_NUMBERS]
    return _read(path, columns, {"user_id": pl.Int64, **dict.fromkeys(_NUMBERS, pl.Float64)})


def _videos(path: Path) -> pl.DataFrame:
    columns = ["video_id", *_VIDEO, *_SIZES, "upload_dt", "tag"]
    videos = _read(path, columns, {"video_id": pl.Int64, **dict.fromkeys(_SIZES, pl.Float64)})
    return videos.with_columns(
        pl.col("upload_dt").str.to_date("%Y-%m-%d", strict=False),
        pl.col("tag").str.split(",").list.eval(pl.element().str.strip_chars().cast(pl.Int32, strict=False)),
    )


def _read(path: Path, columns: list[str], kinds: dict[str, Kind]) -> pl.DataFrame:
    """A table of features by its header; `tag` is quoted, for it holds commas."""
    lazy = pl.scan_csv(path, infer_schema=False, null_values=["", "UNKNOWN"])
    try:
        there = lazy.collect_schema().names()
        missing = [name for name in columns if name not in there]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}. Give the file as it was published.")
        whole = [pl.col(name).str.strip_suffix(".0").cast(pl.Int64) for name in columns if name in _WHOLE]
        casts = [pl.col(name).cast(kind) for name, kind in kinds.items()]
        return lazy.select(columns).with_columns(*whole, *casts).collect(engine="streaming")
    except pl.exceptions.PolarsError as reason:
        raise DataError(f"{path} cannot be read: {reason}. Give the file as it was published.") from reason


def _files(ending: str, names: dict[str, str], archive: RawFile, sizes: tuple[int, ...] = ()) -> Iterator[RawFile]:
    for (name, what), size in zip_longest(names.items(), sizes):
        yield RawFile(f"{name}_{ending}.csv", what, bytes=size)
    yield archive


_WHERE = "https://kuairand.com (https://zenodo.org/records/10439422)"
_TERMS = "CC BY-SA 4.0, with citation (Gao et al. 2022)"
_LEAKS = (
    "video_features_statistic_*.csv is averaged over the whole month, test rows included: never a feature",
    "visible_status is the video's state when the data were published, and is left out",
    "what the user does after the video is shown (play_time_ms, stay times, likes) is no feature: "
    "long_view is play time against duration",
    "counts of users (follow_user_num and the like) were taken once, and the publisher does not say when",
    "a random split trains on the future of its test rows: for a split as in use, set split.by = 'time'",
)
_STANDARD = ("log_standard_4_08_to_4_21", "log_standard_4_22_to_5_08")
_RANDOM = "log_random_4_22_to_5_08"
_TABLES = {"user_features": "27,285 users", "video_features_basic": "7,583 videos"}

PURE = DataSet(
    name="kuairand-pure",
    title="KuaiRand-Pure",
    where=_WHERE,
    unpack="Unpack KuaiRand-Pure.tar.gz.",
    terms=_TERMS,
    files=tuple(
        _files(
            "pure",
            {_STANDARD[0]: "the first two weeks", _STANDARD[1]: "the later weeks", _RANDOM: "videos drawn at random"}
            | _TABLES,
            RawFile(
                "KuaiRand-Pure.tar.gz",
                "the archive itself",
                optional=True,
                bytes=47_432_272,
                md5="0820331067a3784d9691136f772b35a7",
            ),
            sizes=(83_961_282, 21_765_075, 87_086_116, 3_519_028, 626_669),
        )
    ),
    scenarios="tabs 0, 1 and 4",
    labels="is_click and long_view, both on every row",
    split="at random, 80 / 10 / 10 %",
    source="AutoIFS's code: tabs, labels, the three logs together, split",
    leaks=(
        *_LEAKS,
        "AutoIFS's code does take the statistics of the whole month as features: its figures have that leak, ours not",
        "a user's rows about videos outside the 7,583 are not in Pure: histories have gaps",
    ),
    key="tab",
    label_columns=("is_click", "long_view"),
    build=partial(build, ending="pure", logs=(*_STANDARD, _RANDOM), tabs=(0, 1, 4)),
)
SMALL = DataSet(
    name="kuairand-1k",
    title="KuaiRand-1K",
    where=_WHERE,
    unpack="Unpack KuaiRand-1K.tar.gz.",
    terms=_TERMS,
    files=tuple(
        _files(
            "1k",
            {_STANDARD[0]: "the first two weeks, 368 MB", _STANDARD[1]: "the later weeks, 481 MB"}
            | {"user_features": "1,000 users", "video_features_basic": "4,369,953 videos"},
            RawFile(
                "KuaiRand-1K.tar.gz",
                "the archive itself",
                optional=True,
                bytes=1_135_436_720,
                md5="6b0b9c8222d67fcd4c676218edca3f1f",
            ),
        )
    ),
    scenarios="tabs 0, 1, 2, 4 and 6",
    labels="is_click and long_view, both on every row (the benchmark has is_click only)",
    split="at random, 80 / 10 / 10 %",
    source="Scenario-Wise Rec (arXiv 2412.17374): tabs, logs of standard recommendation, split",
    published={"0": 2_407_352, "1": 7_760_237, "2": 895_385, "4": 402_366, "6": 183_403},
    leaks=_LEAKS,
    key="tab",
    label_columns=("is_click", "long_view"),
    build=partial(build, ending="1k", logs=_STANDARD, tabs=(0, 1, 2, 4, 6)),
)
