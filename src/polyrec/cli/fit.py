"""`polyrec fit`."""

import sys
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyrec.errors import ConfigError

if TYPE_CHECKING:
    from polyrec.config import RunConfig
    from polyrec.recipes.folder import RunFolder

HELP = """Train a recipe; the folder gets run.toml, events.jsonl, report.json, report.html and a bundle.

Example: polyrec fit run.toml --out runs/mmoe --set training.epochs=2
"""


def run(
    file: Annotated[Path, typer.Argument(help="The run file.")],
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; runs/RECIPE by default.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="a.b=value over the run file.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of weights and shuffling.")] = None,
    only_validate: Annotated[bool, typer.Option("--only-validate", help="Score no test row; for searches.")] = False,
    processes: Annotated[int, typer.Option("--processes", help="Processes on this machine that share the work.")] = 1,
    ray: Annotated[bool, typer.Option("--ray", help="Let Ray start them, on its cluster (the ray extra).")] = False,
    retries: Annotated[int, typer.Option("--retries", help="With --ray: go on so often after a worker fails.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what a process would hold; train nothing.")] = False,
    memory: Annotated[
        float | None, typer.Option("--memory", help="GB of a process: --dry-run says which tables to split.")
    ] = None,
) -> None:
    """Train, judge, and keep the model."""
    if dry_run:
        _plan(_config(file, settings, device, seed), processes, memory)
        return
    if memory is not None:
        raise ConfigError("--memory is for --dry-run, which prints the shard_rows to set. Add --dry-run.")
    if ray:
        config = _config(file, settings, device, seed)
        _on_ray(config, _folder(out, config), processes, retries, resume=resume, validate=only_validate)
        return
    from polyrec.distributed.join import joined
    from polyrec.distributed.join import processes as started

    if retries:
        raise ConfigError("--retries is for --ray, which starts workers anew. Add --ray, or use --resume.")
    if processes != 1 and started() == 1:
        from polyrec.distributed.launch import launch

        raise typer.Exit(launch(sys.argv[1:], processes))
    from polyrec.cli.files import log
    from polyrec.cli.progress import bars
    from polyrec.recipes.assemble import device_of
    from polyrec.recipes.fit import fit

    config = _config(file, settings, device, seed)
    folder = _folder(out, config)
    with joined(device_of(config)) as world, bars() as progress:
        if resume and world.leads:
            _say_if_new(folder)
        said, shown = (log, progress) if world.leads else (None, None)
        finished = fit(config, folder, resume=resume, log=said, progress=shown, only_validate=only_validate)
    if world.leads:
        _tell(finished, only_validate)


def _folder(out: Path | None, config: "RunConfig") -> Path:
    return out or Path("runs") / config.recipe


def _say_if_new(folder: Path) -> None:
    """A name that is mistyped would train for hours before anybody sees it."""
    from polyrec.cli.files import log

    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        log(f"nothing to resume in {folder}: training starts")


def _tell(finished: "RunFolder", only_validate: bool) -> None:
    """The result, once it is there."""
    from polyrec.cli.files import log, show
    from polyrec.evaluation.report import Report

    if only_validate:
        show(finished.validation.read_text(encoding="utf-8").rstrip())
        return
    show(Report.load(finished.report).table())
    log(f"report: {finished.page}\nbundle: {finished.bundle}")


def _config(file: Path, settings: list[str] | None, device: str | None, seed: int | None) -> "RunConfig":
    from polyrec.config import RunConfig, read_setting

    given = dict(read_setting(one) for one in settings or [])
    given |= {"training.device": device} if device is not None else {}
    given |= {"training.seed": seed} if seed is not None else {}
    return RunConfig.load(file, given)


def _plan(config: "RunConfig", processes: int, memory: float | None) -> None:
    """What lies where; with a budget, which tables have to be split."""
    from polyrec.cli.files import show
    from polyrec.cli.progress import bars
    from polyrec.recipes.sizing import GB, sizing

    if processes < 1:
        raise ConfigError(f"--processes {processes} must be at least 1.")
    if memory is not None and not 0 < memory < inf:
        raise ConfigError(f"--memory {memory:g} must be a number of GB above 0, for example 16.")
    with bars() as progress:
        found = sizing(config, processes, progress=progress)
    found = found if memory is None else found.within(memory * GB)
    show("\n".join(found.lines()))
    if memory is not None and found.least is not None:
        show(f"set [training] shard_rows = {found.least}")


def _on_ray(config: "RunConfig", folder: Path, workers: int, retries: int, *, resume: bool, validate: bool) -> None:
    from polyrec.cluster.apart import led, unfinished, watched

    if not led():
        if resume:
            _say_if_new(folder)
        whole = folder.resolve()
        raise typer.Exit(watched(sys.argv[1:], whole, lambda: unfinished(whole)))
    from polyrec.cli.files import log
    from polyrec.cli.progress import bars
    from polyrec.cluster.fit import fit

    again = {"resume": resume, "only_validate": validate}
    with bars() as progress:
        done = fit(config, folder, workers=workers, retries=retries, **again, log=log, progress=progress)
    _tell(done, validate)
