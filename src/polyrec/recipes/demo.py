"""The main job on real data, end to end: log, recipes, comparison, report, a bundle that scores."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from polyrec.artifact import Bundle
from polyrec.atomic import write_text
from polyrec.config import DataConfig, RunConfig, Split
from polyrec.data.sources import complete_journey
from polyrec.errors import ConfigError
from polyrec.evaluation.comparison import LONE
from polyrec.evaluation.html import render_overview
from polyrec.evaluation.report import Report
from polyrec.evaluation.text import aligned
from polyrec.progress import Progress
from polyrec.recipes.comparison import compare_folders, page, words
from polyrec.recipes.fit import fit
from polyrec.recipes.folder import RunFolder
from polyrec.recipes.prepare import prepare
from polyrec.training.events import read as events
from polyrec.training.progress import Log

RECIPES = ("pooled", "single", "shared_bottom", "mmoe", "ple", "star", "pepnet", "esmm", "aem2tl", "autoifs")
BASELINE = "pooled"
# Weeks 39 and 40 validate, 41 to 48 test.
SPLIT = Split(by="time", valid_from=datetime(2017, 9, 18, 9), test_from=datetime(2017, 10, 2, 4))


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the demo left what, and the text it shows."""

    folder: Path
    text: str
    report: Path
    comparison: Path
    bundle: Path


def demo(
    out: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    resume: bool = False,
    log: Log,
    progress: Progress | None = None,
) -> Demo:
    """Train the recipes on Complete Journey, compare them, and keep the best on validation as a bundle.

    Args:
        out: a folder that is new or empty, or holds this very demo when `resume` is set.
        quick: fewer households, one epoch.
        seed: of weights and shuffling.
        resume: go on where an earlier attempt was stopped.
        log: told what is done, a line at a time.
        progress: told how many visits and rows are done.

    Raises:
        NotReadyError: the package with the data is not installed.
        ConfigError: `out` holds something already, or another demo than this one.
    """
    out = Path(out)
    _claim(out, {"quick": quick, "seed": seed}, resume)
    whole = out.resolve()  # in the run files: `--resume` may spell the folder otherwise, or be given elsewhere
    source = whole / "log.parquet"
    if not source.exists():
        log("building the impression log from the Complete Journey tables (real patterns, possibly perturbed)")
        complete_journey.build(source, households=0.02 if quick else 0.2, progress=progress)
    schema = write_text(whole / "schema.toml", complete_journey.schema().to_toml())
    data = DataConfig(schema=str(schema), log=(str(source),), split=SPLIT)
    prepared = prepare(data, progress=progress)
    for note in prepared.splits.notes:
        log(f"  {note}")
    folders = {}
    for recipe in RECIPES:
        log(f"training {recipe}")
        run = RunConfig(recipe=recipe, data=data, training=_training(quick, seed))
        folders[recipe] = fit(
            run,
            out / "runs" / recipe,
            resume=resume,
            log=lambda text: log(f"  {text}"),
            progress=progress,
            prepared=prepared,
        )
    return _show(out, folders)


def _claim(out: Path, options: dict[str, Any], resume: bool) -> None:
    """Make the folder this demo's, or see that it is."""
    kept = out / "demo.json"
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        write_text(kept, json.dumps(options) + "\n")
        return
    if not kept.exists():
        raise ConfigError(f"--out {out} is no folder of a demo: nothing is overwritten. Name another folder.")
    if not resume:
        raise ConfigError(
            f"--out {out} holds a demo already: nothing is overwritten. "
            "Add --resume to go on with it, remove it, or name another folder."
        )
    before = json.loads(kept.read_text(encoding="utf-8"))
    if before != options:
        raise ConfigError(f"--out {out} holds a demo with {before}; this one is {options}. Give the same options.")


def _training(quick: bool, seed: int) -> dict[str, Any]:
    return {"epochs": 1 if quick else 2, "batch_size": 1024 if quick else 2048, "seed": seed}


def _show(out: Path, folders: dict[str, RunFolder]) -> Demo:
    reports = {recipe: Report.load(folder.report) for recipe, folder in folders.items()}
    comparisons = compare_folders([one.path for one in folders.values()], folders[BASELINE].path)
    overview = render_overview(
        [one.to_dict() for one in reports.values()],
        title="polyrec demo: Complete Journey",
        events={recipe: events(folder.events) for recipe, folder in folders.items()},
        links={recipe: f"runs/{recipe}/report.html" for recipe in folders},
    )
    best = max(folders, key=lambda recipe: _validation(folders[recipe]))
    told = [text for at, one in enumerate(comparisons) for text in one.sentences() if text != LONE or not at]
    text = "\n".join([leaderboard(reports), "", f"Against {BASELINE}, paired on the same test rows:", *told])
    write_text(out / "comparison.txt", words(comparisons) + "\n")
    bundle = folders[best].bundle
    scored = Bundle.load(bundle)
    text += f"\n\nBest on validation: {best}. Its bundle scores: {scored.manifest.identity}"
    return Demo(
        out, text, write_text(out / "report.html", overview), page(comparisons, out / "comparison.html"), bundle
    )


def leaderboard(reports: dict[str, Report]) -> str:
    """Recipes by pooled AUC of every target, with their cost."""
    targets = next(iter(reports.values())).targets
    header = ["test AUC, pooled", *(target.name for target in targets), "parameters", "rows/s"]
    lines = []
    for recipe, report in reports.items():
        rows = [report.get("*", target) for target in targets]
        cells = [f"{row.value:.4f}" if row is not None and row.value is not None else "undefined" for row in rows]
        lines.append([recipe, *cells, f"{report.run['parameters']:,}", f"{report.run['rows_per_second']:,}"])
    return aligned(header, lines)


def _validation(folder: RunFolder) -> float:
    scores = [event["score"] for event in events(folder.events) if event["kind"] == "evaluation"]
    return max((score for score in scores if score is not None), default=float("-inf"))
