"""Runs a suite, cell after cell, and goes on where it was stopped."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from polyrec.atomic import write_text
from polyrec.bench.cell import TRIAL_SEED, Cell, same
from polyrec.bench.process import PATIENCE, Ended, train_apart
from polyrec.bench.results import Line, Results
from polyrec.bench.search import Tried, best, propose
from polyrec.bench.space import Settings, applied, check
from polyrec.bench.suite import Contender, DataSet, Suite
from polyrec.config import DataConfig
from polyrec.data.files import expand
from polyrec.data.simulate import simulate
from polyrec.declare import problems_of
from polyrec.errors import ConfigError, PolyrecError, together
from polyrec.recipes.assemble import resolve
from polyrec.recipes.folder import RunFolder
from polyrec.recipes.recipe import get
from polyrec.recipes.transferring import options_of
from polyrec.schema import Schema
from polyrec.training.progress import Log

_SHOWN = 3  # cells of those that a problem is in


@dataclass(frozen=True)
class Grid:
    """A suite with the folder that holds its results, and the one that holds its data."""

    suite: Suite
    out: Path
    rows: Path
    log: Log | None = None
    lock: int | None = None  # of `out`, while it runs

    @property
    def results(self) -> Results:
        """What has been finished so far."""
        return Results(self.out / "results.jsonl")

    def data(self, one: DataSet) -> DataConfig:
        """Where a data set's rows are, or will be."""
        return one.config((self.out / "data" / one.name if one.simulate else self.rows).resolve())

    def check(self) -> None:
        """Refuse, before anything is trained, what cannot run: options that are unknown, files that are not there.

        Raises:
            ConfigError: every problem at once.
        """
        problems: dict[str, list[str]] = {}  # what is wrong, and where
        for data in self.suite.data:
            try:
                rows = self.data(data)
                if data.simulate is None:
                    _read_all(rows)
            except PolyrecError as reason:
                problems.setdefault(str(reason), []).append(f"data {data.name}")
                continue
            for one in self.suite.all:
                for problem in self._problems(data, rows, one):
                    problems.setdefault(problem, []).append(f"{one.name} on {data.name}")
        RunFolder(self.out).check_made_by("bench", ("results.jsonl", "cells", "data", "leaderboard.html"))
        if problems:
            told = [f"{_few(where)}: {problem}" for problem, where in problems.items()]
            raise ConfigError(together(told, f"suite {self.suite.name} cannot run"))

    def _problems(self, data: DataSet, rows: DataConfig, one: Contender) -> list[str]:
        try:
            run = self.suite.run(data, rows, one, 0)
            resolve(run)
            if get(run.recipe).transfer_options is not None:
                options_of(run)
            if self.suite.trials > 1:
                check(run, self.suite.space_of(one))
        except PolyrecError as reason:
            return problems_of(reason)
        return []

    def cells(self) -> Iterator[Cell]:
        """Every cell in the order in which they run."""
        for data in self.suite.data:
            for one in self.suite.all:
                trials = self.suite.trials if self.suite.trials > 1 else 0
                yield from (Cell(data.name, one.name, "trial", number) for number in range(trials))
                yield from (Cell(data.name, one.name, "seed", seed) for seed in self.suite.seeds)

    def plan(self) -> str:
        """Every cell, whether it is finished, and its command, without training anything.

        Raises:
            ConfigError: see `check`.
        """
        self.check()
        results, lines, done = self.current(), [], 0
        for cell in self.cells():
            line = results.get(cell.key)
            finished = line is not None and line["status"] == "done"
            done += finished
            lines.append(f"{'done' if finished else 'to do':<6} {cell.command}")
        where = f"a command runs in {self.out}, once its cell has begun"
        return "\n".join([*lines, f"{len(lines)} cells, {done} done, {len(lines) - done} to do; {where}"])

    def current(self) -> Results:
        """What has been finished of this very suite on these very files; a changed option leaves old lines behind.

        Lines of a data set whose files are not here are taken as they are.
        """
        results, old = self.results, set[str]()
        for data in self.suite.data:
            try:
                rows = self.data(data)
                _read_all(rows)
            except PolyrecError:
                continue
            for one in self.suite.all:
                old |= self._outdated(results, data, rows, one)
        return results.without(old)

    def _outdated(self, results: Results, data: DataSet, rows: DataConfig, one: Contender) -> set[str]:
        numbers = range(self.suite.trials if self.suite.trials > 1 else 0)
        trials = [(Cell(data.name, one.name, "trial", number), TRIAL_SEED) for number in numbers]
        seeds = [(Cell(data.name, one.name, "seed", seed), seed) for seed in self.suite.seeds]
        old: set[str] = set()
        tried: list[Tried] = []
        for cell, seed in trials + seeds:
            line = results.get(cell.key)
            if line is None or line["status"] != "done":
                continue
            found = best(tried) if cell.kind == "seed" else None
            other = found is not None and line["settings"] != found.settings  # the search has found better since
            if other or not same(line, applied(self.suite.run(data, rows, one, seed), line["settings"])):
                old.add(cell.key)
            elif cell.kind == "trial":
                tried.append(Tried(line["settings"], line.get("score")))
        return old

    def run(self) -> Results:
        """Train every cell that is not finished.

        A cell that fails is told of and left; the next call tries it again.

        Raises:
            OSError: the disk is full. The next call goes on.
        """
        self.check()
        with RunFolder(self.out).held(PATIENCE) as lock:
            return replace(self, lock=lock)._run()

    def _run(self) -> Results:
        results = self.results
        for data in self.suite.data:
            self._make(data)
            for one in self.suite.all:
                settings = self._tuned(results, data, one)
                for seed in self.suite.seeds:
                    self._once(results, Cell(data.name, one.name, "seed", seed), data, one, seed, settings)
        return results

    def _tell(self, text: str) -> None:
        if self.log is not None:
            self.log(text)

    def _make(self, data: DataSet) -> None:
        place, world = self.out / "data" / data.name, data.simulate
        if world is None:
            return
        mark, now = place.with_name(f"{data.name}.json"), json.dumps(asdict(world))
        if not mark.exists() or mark.read_text(encoding="utf-8") != now:
            shutil.rmtree(place, ignore_errors=True)  # another world of this name
            write_text(mark, now)
        if not place.exists():
            self._tell(f"{data.name}: simulating {world.rows:,} rows of {world.preset!r}")
            simulate(place, world.rows, world.scenarios, world.days, world.seed, world.preset)

    def _tuned(self, results: Results, data: DataSet, one: Contender) -> Settings:
        """The settings that were best on validation rows; the run file's own where there is nothing to choose from."""
        if self.suite.trials < 2:
            return {}
        space = self.suite.space_of(one)
        tried: list[Tried] = []
        for number in range(self.suite.trials):
            settings = propose(space, tried, self.suite.sampler)
            cell = Cell(data.name, one.name, "trial", number)
            line = self._once(results, cell, data, one, TRIAL_SEED, settings)
            tried.append(Tried(settings, line.get("score")))
        found = best(tried)
        return found.settings if found is not None else {}

    def _once(self, results: Results, cell: Cell, data: DataSet, one: Contender, seed: int, settings: Settings) -> Line:
        """The cell's line, trained unless it is there."""
        run = applied(self.suite.run(data, self.data(data), one, seed), settings)
        line = results.get(cell.key)
        if line is not None and same(line, run):
            return line
        try:
            cell.write(self.out, run)
            ended = train_apart(run, cell.folder(self.out).path, self.lock, only_validate=cell.kind == "trial")
        except ConfigError as reason:
            ended = Ended(error=str(reason))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{cell.key} was under way; give the same command again to go on") from None
        line = cell.line(self.out, run, settings, ended)
        results.add(line)
        self._tell(_words(line))
        return line


def _read_all(rows: DataConfig) -> None:
    Schema.load(rows.schema)
    for paths in (rows.log, rows.train, rows.valid, rows.test):
        if paths:
            expand(paths)


def _few(where: list[str]) -> str:
    return ", ".join(where) if len(where) <= _SHOWN else f"{', '.join(where[:_SHOWN])} and {len(where) - _SHOWN} more"


def _words(line: Line) -> str:
    if line["status"] != "done":
        return f"{line['cell']}: failed: {line['error'].splitlines()[0]}"
    score = "undefined" if line["score"] is None else f"{line['score']:.4f}"
    cost = "" if line["cpu_seconds"] is None else f", {line['cpu_seconds']:.0f} CPU seconds"
    return f"{line['cell']}: validation {score}{cost}"
