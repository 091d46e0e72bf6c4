"""`simulate`: a world on disk, whole or not at all."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data.simulate.generate import MOST_ROWS_A_DAY, generate
from polyrec.data.simulate.history import LENGTH
from polyrec.data.simulate.presets import TASKS, Heads, Parts, Preset, named
from polyrec.data.simulate.truth import COLUMNS
from polyrec.data.simulate.world import World
from polyrec.errors import ConfigError, DataError
from polyrec.progress import Progress
from polyrec.schema import Feature, Keys, Schema, Task

ROW_GROUP = 131_072
METADATA = b"polyrec.world"


@dataclass(frozen=True, slots=True)
class Paths:
    """The three files of a simulated world."""

    log: Path
    schema: Path
    truth: Path


def simulate(
    out: Path,
    rows: int = 1_000_000,
    scenarios: int | None = None,
    days: int = 14,
    seed: int = 0,
    preset: str = "balanced",
    *,
    block: int = ROW_GROUP,
    progress: Progress | None = None,
) -> Paths:
    """Write `log.parquet`, `schema.toml` and `truth.parquet` (same row order) into a new folder.

    Memory does not depend on `rows`. Equal arguments give equal rows, whatever `block` is; users, items and
    preferences depend on all but `rows`, so that more rows are more evidence of the same world.

    Args:
        out: a folder that does not exist yet, or is empty.
        rows: impressions, at least one a day.
        scenarios: how many; by default the preset's number.
        days: of equal numbers of rows, the first on 2024-01-01.
        seed: of everything random.
        preset: one of `PRESETS`.
        block: rows made at a time.
        progress: told how many rows are written.

    Raises:
        ConfigError: an unknown preset, or a number out of its bounds.
        DataError: `out` holds files already, or cannot be written.
    """
    chosen = named(preset)
    world = World(chosen, scenarios=chosen.scenarios if scenarios is None else scenarios, days=days, seed=seed)
    _check(rows, days, block)
    with _whole_folder(out) as folder:
        made = Paths(folder / "log.parquet", folder / "schema.toml", folder / "truth.parquet")
        made.schema.write_text(schema(world).to_toml(), encoding="utf-8")
        metadata = {METADATA: json.dumps(description(world, preset, rows)).encode()}
        with _Writer(made.log, {}) as log, _Writer(made.truth, metadata) as truth, ThreadPoolExecutor(1) as aside:
            # The thread is there before the first rows: an interrupt while it starts would leave it running.
            aside.submit(int).result()
            done, writing = 0, None
            for log_block, truth_block in generate(world, rows, block):
                if writing is not None:
                    writing.result()
                writing = aside.submit(_write_both, (log, log_block), (truth, truth_block))
                done += len(log_block)
                if progress is not None:
                    progress("simulating rows", done, rows)
            if writing is not None:
                writing.result()
    return Paths(*(out / path.name for path in (made.log, made.schema, made.truth)))


def schema(world: World) -> Schema:
    """What the log's columns mean."""
    strict = world.preset.strict
    features = [
        Feature("user_id", "categorical", "user"),
        Feature("user_segment", "categorical", "user"),
        Feature("user_age", "categorical", "user"),
        Feature("user_taste_1", "numeric", "user", transform="standard"),
        Feature("user_taste_2", "numeric", "user", transform="standard"),
        Feature("user_taste_3", "numeric", "user", transform="standard"),
        Feature("user_days_active", "numeric", "user", transform="log"),
        Feature("item_id", "categorical", "item"),
        Feature("item_category", "categorical", "item"),
        Feature("item_brand", "categorical", "item"),
        Feature("item_price", "numeric", "item", transform="log"),
        Feature("item_quality", "numeric", "item", transform="standard"),
        Feature("hour", "categorical"),
        Feature("position", "categorical"),
        Feature("device", "categorical"),
        Feature("intent", "numeric", transform="none"),
        Feature("hist_items", "sequence", "user", shares="item_id", max_length=LENGTH),
    ]
    tasks = (
        Task("click", "click"),
        Task("action", "action", after="click"),
        Task("buy", "buy", after="click", via="action", strict=strict),
    )
    keys = Keys(scenario="scenario", user="user_id", item="item_id", time="time_ms")
    return Schema(keys=keys, features=tuple(features), tasks=tasks, scenarios=world.names)


def description(world: World, preset: str, rows: int) -> dict[str, Any]:
    """What `truth.parquet` carries in its metadata, as plain values; `describe` reads it."""
    likeness = world.taste.likeness()
    names = world.names
    useful = {
        flow: {
            name: dict(zip(TASKS, shares.round(6).tolist(), strict=True))
            for name, shares in zip(names, table, strict=True)
        }
        for flow, table in world.taste.useful.items()
    }
    return {
        "version": 1,
        "preset": preset,
        "options": asdict(world.preset),
        "rows": rows,
        "days": world.days,
        "seed": world.seed,
        "scenarios": list(names),
        "sizes": world.sizes.round(9).tolist(),
        "relations": {
            name: dict(zip(names, row, strict=True)) for name, row in zip(names, world.taste.relations(), strict=True)
        },
        "likeness": {task: likeness[:, :, place].round(6).tolist() for place, task in enumerate(TASKS)},
        "flows": useful,
        "columns": COLUMNS,
    }


def describe(folder: Path) -> dict[str, Any]:
    """The description in a simulated world's `truth.parquet`: relations, likeness, flows, options.

    Raises:
        DataError: the folder holds no simulated world.
    """
    path = folder / "truth.parquet"
    try:
        found = (pq.read_schema(path).metadata or {}).get(METADATA)
    except (OSError, pa.ArrowInvalid) as reason:
        raise DataError(
            f"{path} cannot be read: {reason}. Write it with `polyrec simulate --out {folder}`."
        ) from reason
    if found is None:
        raise DataError(f"{path} describes no world. Write it with `polyrec simulate`.")
    told: dict[str, Any] = json.loads(found)
    return told


def world_of(folder: Path) -> World:
    """The world behind a simulated log, made again from its description."""
    told = describe(folder)
    options = dict(told["options"])
    options["parts"] = Parts(**options["parts"])
    options["contrary"] = tuple(options["contrary"])
    for name in ("rates", "signal", "noise"):
        options[name] = Heads(**options[name])
    return World(Preset(**options), scenarios=len(told["scenarios"]), days=told["days"], seed=told["seed"])


def _check(rows: int, days: int, block: int) -> None:
    if rows < days:
        raise ConfigError(f"rows = {rows}: at least one a day, {days}. Ask for more rows or fewer days.")
    if rows > days * MOST_ROWS_A_DAY:
        raise ConfigError(f"rows = {rows}: at most {MOST_ROWS_A_DAY} a day, {days} days. Ask for more days.")
    if block < 1:
        raise ConfigError(f"block = {block}: at least 1 row. Leave it out for the default.")


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder that takes the name `out` when the body succeeds, and vanishes when it does not."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError(f"{out} exists and is not an empty folder. Name another one, or empty it.")
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as reason:
        raise DataError(f"{out} cannot be written: {reason.strerror or reason}. Name another folder.") from reason
    try:
        yield folder
        folder.chmod(0o755)
        folder.replace(out)
    except OSError as reason:
        raise DataError(
            f"{out} cannot be written: {reason.strerror or reason}. Free space, or name another folder."
        ) from reason
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Writer:
    """Tables of any size into row groups of equal size."""

    def __init__(self, path: Path, metadata: dict[bytes, bytes]) -> None:
        self.path, self.metadata = path, metadata
        self.waiting: list[pa.Table] = []
        self.file: pq.ParquetWriter | None = None

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.flush(1)
        if self.file is not None:
            self.file.close()

    def add(self, table: pa.Table) -> None:
        self.waiting.append(table)
        self.flush(ROW_GROUP)

    def flush(self, least: int) -> None:
        while sum(map(len, self.waiting)) >= least:
            table = pa.concat_tables(self.waiting)
            if self.file is None:
                told = table.schema.with_metadata(self.metadata)
                self.file = pq.ParquetWriter(self.path, told, compression="lz4", use_dictionary=_repeating(table))
            group, rest = table.slice(0, ROW_GROUP), table.slice(ROW_GROUP)
            self.file.write_table(group.replace_schema_metadata(self.metadata), row_group_size=ROW_GROUP)
            self.waiting = [rest] if len(rest) else []


def _repeating(table: pa.Table) -> list[str]:
    """Columns that a dictionary makes small: all but probabilities, noise and times."""
    return [
        one.name
        for one in table.schema
        if not one.name.startswith("p_") and one.name not in ("noise", "intent", "time_ms")
    ]


def _write_both(*parts: tuple[_Writer, pa.Table]) -> None:
    for writer, table in parts:
        writer.add(table)
