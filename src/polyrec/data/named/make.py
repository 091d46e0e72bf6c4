"""A named data set from local files: checked, built, and written whole with a schema and a run file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polyrec.atomic import whole_folder
from polyrec.config import RunConfig
from polyrec.data.named.dataset import Built, DataSet, Sources
from polyrec.data.named.find import find
from polyrec.data.named.parts import Parts
from polyrec.declare import to_toml
from polyrec.errors import DataError, together
from polyrec.progress import Progress

RECIPE = "mmoe"


@dataclass(frozen=True, slots=True)
class Made:
    """What was written: rows and ones of each label by (part, scenario), and what differs from what was published."""

    folder: Path
    counts: dict[tuple[str, str], list[int]]
    labels: tuple[str, ...]
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parquet files, without their ending."""
        return tuple(dict.fromkeys(part for part, _ in self.counts))


def make(dataset: DataSet, source: Path, out: Path, *, strict: bool = False, progress: Progress | None = None) -> Made:
    """Write a data set's rows as parquet, `schema.toml`, `run.toml` and `dataset.json` into a new folder.

    Args:
        dataset: which, as `named.get` finds it.
        source: the folder with its files.
        out: a folder that does not exist yet, or is empty. It appears whole or not at all.
        strict: refuse files or counts that differ from those published, where these are known.
        progress: told how far the reading is.

    Raises:
        DataError: files are missing or damaged, `out` holds files, or `strict` and something differs.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"--out {out} exists and is not an empty folder. Name another one, or empty it.")
    files, differences = find(dataset, source)
    _refuse(dataset, differences, strict)
    with whole_folder(out) as folder:
        with Parts(folder, dataset.key, dataset.label_columns) as parts:
            built = dataset.build(Sources(source, files, progress), parts)
        if not parts.rows:
            raise DataError(f"{source} gives no rows of {dataset.title}. Give the files as they were published.")
        differences += _counted(dataset, parts)
        _refuse(dataset, differences, strict)
        made = Made(out, parts.counts, dataset.label_columns, tuple(differences), built.notes)
        _describe(folder, dataset, built, made, files)
    return made


def _refuse(dataset: DataSet, differences: list[str], strict: bool) -> None:
    if strict and differences:
        told = together(differences, f"{dataset.title} differs from what was published")
        raise DataError(f"{told}\nGet the published files, or leave out --strict.")


def _counted(dataset: DataSet, parts: Parts) -> list[str]:
    rows: dict[str, int] = {}
    for (_, scenario), numbers in parts.counts.items():
        rows[scenario] = rows.get(scenario, 0) + numbers[0]
    known = dataset.published
    if isinstance(known, Mapping):
        return [
            f"scenario {name} has {count:,} rows; published are {known[name]:,}"
            for name, count in sorted(rows.items())
            if name in known and count != known[name]
        ]
    if not known or sorted(rows.values()) == sorted(known):
        return []
    mine = ", ".join(f"{name}: {count:,}" for name, count in sorted(rows.items()))
    theirs = ", ".join(f"{count:,}" for count in known)
    return [f"rows of the scenarios are {mine}; published are {theirs}"]


def _describe(folder: Path, dataset: DataSet, built: Built, made: Made, files: dict[str, Path]) -> None:
    """The schema, the run file, and where the rows come from."""
    (folder / "schema.toml").write_text(built.schema.to_toml(), encoding="utf-8")
    run = {"recipe": RECIPE, "data": {"schema": "schema.toml", **built.data}}
    said = (dataset.title, f"Scenarios: {dataset.scenarios}", f"Labels: {dataset.labels}", f"Split: {dataset.split}")
    words = "".join(f"# {one}\n" for one in (*said, f"Protocol: {dataset.source}"))
    path = folder / "run.toml"
    path.write_text(words + to_toml(run), encoding="utf-8")
    RunConfig.load(path)  # what is written can be read
    about = {
        "name": dataset.name,
        "title": dataset.title,
        "where": dataset.where,
        "terms": dataset.terms,
        "protocol": dataset.source,
        "files": {name: place.stat().st_size for name, place in files.items()},
        "rows": [
            {"part": part, "scenario": scenario, "rows": rows, **dict(zip(dataset.label_columns, ones, strict=True))}
            for (part, scenario), (rows, *ones) in made.counts.items()
        ],
        "differences": made.differences,
        "notes": [*made.notes, *dataset.leaks],
    }
    (folder / "dataset.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
