"""Finished runs compared on the rows that all of them were tested on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyrec.atomic import write_text
from polyrec.declare import read_toml
from polyrec.errors import ConfigError
from polyrec.evaluation.collected import Collected
from polyrec.evaluation.compare import compare
from polyrec.evaluation.comparison import Comparison
from polyrec.evaluation.html import render_comparison
from polyrec.recipes.folder import RunFolder


@dataclass(frozen=True)
class Contender:
    """Runs that differ in their seed alone: one recipe with one set of options."""

    name: str
    runs: tuple[Collected, ...]


def compare_folders(folders: Sequence[Path], baseline: Path | None = None) -> tuple[Comparison, ...]:
    """Each other contender against the baseline's (the first folder's, unless named).

    Folders whose run files differ in the seed alone are runs of one contender: their spread widens the intervals.

    Raises:
        NotReadyError: a folder without a finished run.
        DataError: runs that were tested on different rows.
        ConfigError: nothing to compare.
    """
    paths = list(dict.fromkeys(path.resolve() for path in ([baseline] if baseline else []) + list(folders)))
    contenders = _contenders([RunFolder(path).finished() for path in paths])
    if len(contenders) < 2:
        raise ConfigError(
            f"{len(paths)} folder(s) hold one contender: runs that differ in the seed alone are averaged. "
            "Name folders of at least two recipes or sets of options."
        )
    first, *others = contenders
    return tuple(compare(first.runs, one.runs, names=(first.name, one.name)) for one in others)


def words(comparisons: Sequence[Comparison]) -> str:
    """Tables and sentences of several comparisons."""
    parts = []
    for one in comparisons:
        parts += [one.table(), *one.sentences(), ""]
    return "\n".join(parts).rstrip()


def page(comparisons: Sequence[Comparison], out: Path) -> Path:
    """Write the page of several comparisons."""
    return write_text(out, render_comparison(comparisons))


def _contenders(folders: Sequence[RunFolder]) -> list[Contender]:
    groups: dict[str, list[RunFolder]] = {}
    for folder in folders:
        groups.setdefault(repr(_without_seed(read_toml(folder.run))), []).append(folder)
    recipes = [str(read_toml(group[0].run)["recipe"]) for group in groups.values()]
    found = []
    for recipe, group in zip(recipes, groups.values(), strict=True):
        name = recipe if recipes.count(recipe) == 1 else group[0].path.name
        found.append(Contender(name, tuple(Collected.load(folder.predictions) for folder in group)))
    return found


def _without_seed(run: dict[str, Any]) -> dict[str, Any]:
    training = {key: value for key, value in run.get("training", {}).items() if key not in ("seed", "threads")}
    return {**run, "training": training}
