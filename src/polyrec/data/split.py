"""One log as training, validation and test rows: by time, by user or at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.config import DataConfig, Split
from polyrec.data.files import Source, expand
from polyrec.data.keys import is_text
from polyrec.data.sample import Sample
from polyrec.data.where import Between, Bound, Share, Where, bound, plain
from polyrec.errors import ConfigError, DataError
from polyrec.progress import Progress
from polyrec.schema import Schema

_OTHERWISE = "split by user or at random: by = 'user' or 'random' in a run file's split, --split of adapt."
_TIMES = 2**21  # times kept to find where a share of the rows ends


@dataclass(frozen=True)
class Splits:
    """The rows of each part, and in words how they were parted."""

    train: Source
    valid: Source
    test: Source | None
    notes: tuple[str, ...] = ()


def split(data: DataConfig, schema: Schema, progress: Progress | None = None) -> Splits:
    """The parts that a run file asks for.

    By time, rows of one moment are never in two parts. By user, no user is. At random, each row by itself.
    `progress` is told of how many files the footers are read.
    Memory does not grow with the rows.

    Raises:
        ConfigError: the split needs a key that the schema lacks, or its moments contradict one another.
        DataError: a file is missing or damaged, or a part would have no rows.

    Example:
        ```python
        parts = split(run.data, schema)
        print(parts.notes[0])                # train: 2,400,000 rows, week < 39 ...
        ```
    """
    if data.train:
        return _named(data, schema, progress)
    options = data.split or Split()
    log = Source(expand(data.log)).as_text(_lists(schema))
    log.open(progress, (schema.keys.time,) if schema.keys.time else ())
    log.require(_needed(schema))
    by = options.by or ("time" if schema.keys.time or options.valid_from is not None else "random")
    if by == "time":
        parts, words = _by_time(log, options, schema)
    else:
        parts, words = _by_share(by, options, schema)
    return _checked(*(log.filtered(part) for part in parts), words=words)


def _named(data: DataConfig, schema: Schema, progress: Progress | None) -> Splits:
    found = {name: expand(getattr(data, name)) for name in ("train", "valid", "test") if getattr(data, name)}
    seen: dict[str, str] = {}
    for name, paths in found.items():
        for path in paths:
            other = seen.setdefault(str(path.resolve() if isinstance(path, Path) else path), name)
            if other != name:
                raise ConfigError(f"[data] {path} is in {other} and in {name}. Keep it in one of them.")
    parts = [Source(paths).as_text(_lists(schema)).open(progress) for paths in found.values()]
    for part in parts:
        part.require(_needed(schema))
    return _checked(*parts, words=("as listed",) * 3)


def _lists(schema: Schema) -> list[str]:
    return [one.name for one in schema.features if one.kind in ("sequence", "vector")]


def _needed(schema: Schema) -> list[str]:
    """Columns without which nothing can be trained, so that a missing one is told before anything is read."""
    names = [*(one.name for one in schema.features), *(one.label for one in schema.tasks), schema.keys.scenario]
    return names + ([schema.keys.user] if schema.keys.user else [])


def _checked(train: Source, valid: Source, test: Source | None = None, *, words: Sequence[str]) -> Splits:
    notes = []
    for name, part, how in zip(("train", "valid", "test"), (train, valid, test), words, strict=True):
        if part is None:
            continue
        if not part.rows():
            raise DataError(f"split: {name} has no rows ({how}). Change the split, or give more rows.")
        notes.append(f"{name}: {part.rows():,} rows, {how}")
    return Splits(train, valid, test, tuple(notes))


def _by_share(by: str, options: Split, schema: Schema) -> tuple[tuple[Where, Where, Where], tuple[str, ...]]:
    column = None
    if by == "user":
        column = schema.keys.user
        if column is None:
            raise ConfigError(
                "split: by = 'user' needs the user's column. Add user = ... to [keys] of the schema, or split by time."
            )
    first, second = 1.0 - options.valid - options.test, 1.0 - options.test
    seed = options.seed
    what = "of the users" if by == "user" else "of the rows, at random"
    words = (f"{first:.0%} {what}", f"{options.valid:.0%} {what}", f"{options.test:.0%} {what}")
    return (
        Share(0.0, first, seed, column),
        Share(first, second, seed, column),
        Share(second, 1.0, seed, column),
    ), words


def _by_time(log: Source, options: Split, schema: Schema) -> tuple[tuple[Where, Where, Where], tuple[str, ...]]:
    column = schema.keys.time
    if column is None:
        raise ConfigError(
            f"split: by = 'time' needs the time's column. Add time = ... to [keys] of the schema, or {_OTHERWISE}"
        )
    log.require([column])
    kind = log.columns()[column]
    if options.valid_from is not None and options.test_from is not None:
        _refuse_nulls(log, column, kind)
        low: Bound = plain(options.valid_from)
        high: Bound = plain(options.test_from)
    else:
        low, high = _cuts(log, column, kind, options)
    first, second = bound(low, kind, column), bound(high, kind, column)
    if not pc.less(first, second).as_py():
        raise ConfigError(f"split: valid_from = {low} is not before test_from = {high}. Exchange them.")
    words = (f"{column} < {first}", f"{first} <= {column} < {second}", f"{column} >= {second}")
    return (Between(column, None, low), Between(column, low, high), Between(column, high, None)), words


def _cuts(log: Source, column: str, kind: pa.DataType, options: Split) -> tuple[Bound, Bound]:
    """Moments at which validation and test begin, nearest to the shares asked for."""
    sample = Sample(_TIMES)
    for table in log.tables([column]):
        for chunk in table[column].chunks:
            sample.add(_times(chunk, column, kind))
    ordered = np.sort(sample.values())
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))  # where a new moment begins
    if len(ordered) < 3:
        raise DataError(f"the log has {len(ordered)} rows to split; three parts need at least 3. Give more rows.")
    if len(starts) < 3:
        raise DataError(
            f"time column {column!r} has {len(starts)} different values; three parts need at least 3. "
            f"{_OTHERWISE[0].upper()}{_OTHERWISE[1:]}"
        )
    wanted = len(ordered) * np.array([1.0 - options.valid - options.test, 1.0 - options.test])
    first = int(np.abs(starts[1:-1] - wanted[0]).argmin()) + 1
    second = int(np.abs(starts[first + 1 :] - wanted[1]).argmin()) + first + 1
    return ordered[starts[first]].item(), ordered[starts[second]].item()


def _times(chunk: pa.Array, column: str, kind: pa.DataType) -> np.ndarray:
    """Moments as numbers that keep their order (stored counts of dates and times), or as texts."""
    if chunk.null_count or (pa.types.is_floating(kind) and pc.any(pc.is_nan(chunk)).as_py()):
        raise _null_times(column)
    if is_text(kind):
        return np.array(chunk.cast(pa.string()).to_numpy(zero_copy_only=False), dtype=np.str_)
    types = pa.types
    if types.is_timestamp(kind) or types.is_date64(kind):
        chunk = chunk.cast(pa.int64())
    elif types.is_date32(kind):
        chunk = chunk.cast(pa.int32())
    elif not (types.is_integer(kind) or types.is_floating(kind)):
        bound(0, kind, column)  # says why it cannot be
    return np.asarray(chunk.to_numpy(zero_copy_only=False))


def _refuse_nulls(log: Source, column: str, kind: pa.DataType) -> None:
    for table in log.tables([column]):
        for chunk in table[column].chunks:
            _times(chunk, column, kind)


def _null_times(column: str) -> DataError:
    return DataError(f"time column {column!r} has nulls, which belong to no part. Fill them, or {_OTHERWISE}")
