"""A search for one run file's settings, on validation rows alone."""

from pathlib import Path

from polyrec.atomic import write_text
from polyrec.bench.cell import fingerprint
from polyrec.bench.process import PATIENCE, train_apart
from polyrec.bench.results import Line, Results
from polyrec.bench.search import Tried, best, propose
from polyrec.bench.space import Settings, Space, applied, check
from polyrec.bench.versions import versions
from polyrec.config import RunConfig
from polyrec.declare import to_toml
from polyrec.errors import ConfigError, NotReadyError
from polyrec.recipes.assemble import resolve
from polyrec.recipes.folder import RunFolder
from polyrec.training.progress import Log


def tune(
    run: RunConfig,
    space: Space,
    out: Path,
    *,
    trials: int,
    sampler: str = "tpe",
    seed: int = 0,
    log: Log | None = None,
) -> tuple[Path, tuple[Tried, ...]]:
    """Try settings, each in a process of its own, and write the best as run.toml.

    The first trial is the run as it is. Every finished trial is a line of trials.jsonl; called again with the same
    run, space and sampler it goes on from there, also with more trials.

    Args:
        run: what to tune.
        space: what may change; see `read_space`.
        out: the folder of the search.
        trials: how many settings in all, the run's own among them.
        sampler: see `propose`.
        seed: of the draws. Training keeps the run's own.
        log: told of each trial.

    Returns:
        The run file, and what was tried.

    Raises:
        ConfigError: options that do not exist, or a folder that holds another search.
        NotReadyError: no trial gave a score.
        OSError: the disk is full. The next call goes on.
    """
    resolve(run)
    check(run, space)
    if trials > 1:
        propose(space, [Tried({}, None)], sampler, seed)  # whether the sampler is there
    folder = RunFolder(out)
    folder.check_made_by("tune", ("trials.jsonl", "trials"))
    with folder.held(PATIENCE) as lock:
        return _search(run, space, out, trials, sampler, seed, log, lock)


def _search(
    run: RunConfig, space: Space, out: Path, trials: int, sampler: str, seed: int, log: Log | None, lock: int | None
) -> tuple[Path, tuple[Tried, ...]]:
    results = Results(out / "trials.jsonl")
    about = {
        "run": fingerprint(run),
        "space": {key: repr(one) for key, one in space.items()},
        "sampler": sampler,
        "seed": seed,
    }
    tried: list[Tried] = []
    for number in range(trials):
        line = results.get(f"trial-{number}")
        if line is not None and line["about"] != about:
            raise ConfigError(f"--out {out} holds a search of another run, space or sampler. Name another folder.")
        if line is None or line["error"]:
            settings = propose(space, tried, sampler, seed)
            line = _trial(run, settings, out, number, about, lock)
            results.add(line)
        tried.append(Tried(line["settings"], line["score"]))
        if log is not None:
            log(_words(number, tried, line))
    found = best(tried)
    if found is None:
        last = next((line["error"] for line in results if line["error"]), "validation is undefined")
        raise NotReadyError(
            f"none of {trials} trials gave a validation score. The first reason: {last.splitlines()[0]}"
        )
    return write_text(out / "run.toml", to_toml(applied(run, found.settings).to_dict())), tuple(tried)


def _trial(run: RunConfig, settings: Settings, out: Path, number: int, about: Line, lock: int | None) -> Line:
    folder = RunFolder(out / "trials" / f"trial-{number}")
    try:
        ended = train_apart(applied(run, settings), folder.path, lock, only_validate=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"trial {number} was under way; give the same command again to go on") from None
    score = None if ended.error else folder.validated()["score"]
    told = {"cell": f"trial-{number}", "settings": settings, "score": score, "error": ended.error}
    return {**told, "cpu_seconds": ended.cpu_seconds, "versions": versions(), "about": about}


def _words(number: int, tried: list[Tried], line: Line) -> str:
    if line["error"]:
        return f"trial {number}: failed: {line['error'].splitlines()[0]}"
    found = best(tried)
    score = "undefined" if line["score"] is None else f"{line['score']:.4f}"
    shown = ", ".join(f"{key} = {value}" for key, value in line["settings"].items()) or "the run file's own settings"
    top = "" if found is None or found.score is None else f" (best {found.score:.4f})"
    return f"trial {number}: validation {score}{top}: {shown}"
