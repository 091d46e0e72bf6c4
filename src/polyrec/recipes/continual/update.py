"""`polyrec update`: period after period, judged, checked, learned from, and kept as one whole generation."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from polyrec.artifact.manifest import Manifest
from polyrec.config import RunConfig, TrainingConfig
from polyrec.data.profile import Profile
from polyrec.data.split import Splits, split
from polyrec.declare import parse
from polyrec.errors import DataError, together
from polyrec.evaluation.report import Report
from polyrec.progress import Progress
from polyrec.recipes import outcome
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.guards import Finding, inspect
from polyrec.recipes.continual.judge import cells, pooled_auc, remembered, scored
from polyrec.recipes.continual.learn import Options, learn
from polyrec.recipes.continual.periods import Period, periods, shown_time
from polyrec.recipes.continual.rows import held_out, of_target, rest, sample
from polyrec.recipes.continual.state import State
from polyrec.recipes.folder import RunFolder
from polyrec.recipes.prepare import Prepared
from polyrec.training.progress import Log
from polyrec.training.seed import derive


def update(
    folder: str | Path,
    data: Sequence[str],
    out: str | Path | None = None,
    *,
    every: str | None = None,
    options: Options | None = None,
    log: Log | None = None,
    progress: Progress | None = None,
) -> ContinualFolder:
    """Go on with a finished fit: for each new period, judge the model that stands on it, then train on it.

    A period that is trained on becomes one whole generation of `out`; whatever ends the process, the last one stands,
    and the same call goes on after it. Periods that `out` has learned from already, by their files, are passed over.

    Args:
        folder: what `fit` wrote, or what an earlier `update` wrote.
        data: files or patterns, each a period.
        out: the folder of generations; `folder` itself where that is one.
        every: cut all rows into periods of time instead.
        options: how they are learned from.
        log: told what is going on, a line at a time.
        progress: told how many rows are read.

    Raises:
        DataError: a bad period, in words; nothing was learned from it.
        ConfigError: `out` goes on with another run.
    """
    options = options or Options()
    found = ContinualFolder.between(Path(folder), out)
    with found.held():
        run = found.claim(Path(folder))
        threads = parse(TrainingConfig, run.training, "[training]").threads
        if threads is not None:
            torch.set_num_threads(threads)
        store = found.generations(options.keep)
        if store.current is None:
            _begin(run, RunFolder(Path(folder)).finished(), found, options, progress)
        assert store.current is not None
        state = State.load(run, store.current)
        found.refresh(state)
        for period in periods(data, state.schema, every):
            state = _Step(state, period, found, options, log, progress).run()
    return found


def _begin(
    run: RunConfig, folder: RunFolder, out: ContinualFolder, options: Options, progress: Progress | None
) -> None:
    """The finished fit as generation 0."""
    state, report = State.of_run(run, folder), Report.load(folder.report)
    splits = split(run.data, state.schema)
    train_rows, test = (of_target(run, one, state.schema) for one in (splits.train, splits.test or splits.valid))
    encoder = state.bundle(shared=True).encoder
    profile, unseen = (Profile.of(one, encoder, None, progress) for one in (train_rows, test))
    # How much is usually unknown is told by rows that the vocabulary was not made from. They may be learned from later.
    unseen = replace(unseen, digest="", sketch=())
    profile = replace(profile, unknown=unseen.unknown)
    sample(train_rows, state, out.sample("replay", 0), derive(0, "fit"))
    sample(test, state, out.sample("held", 0), derive(1, "fit"))
    line = {"generation": 0, "name": "the fit", "rows": profile.rows, "trained": profile.rows, "time": profile.time}
    line |= {"cells": cells(report), "seconds": {"train": report.run.get("seconds")}}
    line["held"] = remembered(state, out, 0)
    state = replace(state, history=(line,), profiles=(profile, unseen))
    manifest = Manifest.read(folder.bundle)
    trained_on = {"rows": {"train": profile.rows}, "generation": 0, **outcome.longer(manifest.trained_on, {})}
    told = {"trained_on": trained_on}
    golden = outcome.golden(test, Prepared(state.schema, splits, state.encoder))
    out.generations(options.keep).publish(lambda path: state.save(path, golden, told, report.to_json()))


@dataclass
class _Step:
    """One period."""

    state: State
    period: Period
    out: ContinualFolder
    options: Options
    log: Log | None
    progress: Progress | None

    def run(self) -> State:
        name = self.period.name
        if any(line.get("about") == self.period.about for line in self.state.history):
            self._say(f"{name}: learned from already")
            return self.state
        clock = _Clock()
        profile, findings = self._read()
        clock.mark("read")
        report = None
        if profile is not None:
            report = scored(self.state, self.source, self.progress)
            clock.mark("judge")
            findings += self._guards(profile, report)
        if findings and (profile is None or not self.options.force or any(one.fatal for one in findings)):
            return self._refuse(findings)
        assert profile is not None
        assert report is not None
        for one in findings:
            self._say(f"{name}: taken all the same: {one.words}")
        return self._learn(profile, report, findings, clock)

    @property
    def number(self) -> int:
        return len(self.state.history)

    def _read(self) -> tuple[Profile | None, list[Finding]]:
        """The profile, or in words why there is none."""
        until = self._until()
        try:
            self.source = of_target(self.state.run, self.period.source, self.state.schema)
            encoder = self.state.bundle(shared=True).encoder
            needed = [*encoder.columns(), *([encoder.schema.keys.time] if encoder.schema.keys.time else [])]
            self.source.require(needed)
            if not self.source.rows():
                return None, [Finding("empty", self.period.name, "it has no rows", fatal=True)]
            return Profile.of(self.source, encoder, until, self.progress), []
        except DataError as reason:
            kind = "empty" if "no rows" in str(reason) else "columns"
            return None, [Finding(kind, self.period.name, str(reason).rstrip("."), fatal=True)]

    def _until(self) -> Any:
        return max((line["time"][1] for line in self.state.history if line.get("time")), default=None)

    def _guards(self, profile: Profile, report: Report) -> list[Finding]:
        history = self.state.history
        until, column = self._until(), self.state.schema.keys.time
        shown = shown_time(until, self.source.columns()[column]) if column and until is not None else until
        names = ["the fit", "its test rows", *(str(line["name"]) for line in history[1:])]
        past = pooled_auc(history)
        before = list(zip(names, self.state.profiles, strict=True))
        auc = {row.task: (row.value, row.high) for row in report.rows
               if (row.scenario, row.space, row.metric) == ("*", "all", "auc")
               and row.value is not None and row.high is not None}  # fmt: skip
        return inspect(profile, before, until=shown, auc=auc, known=past)

    def _refuse(self, findings: Sequence[Finding]) -> State:
        name = self.period.name
        self.out.tell("refused", period=name, findings=[asdict(one) for one in findings])
        self.out.refresh(self.state)
        heading = f"period {name} is refused" + (f" for {len(findings)} reasons" if len(findings) > 1 else "")
        words = together([one.words for one in findings], heading)
        if self.options.skip:
            self._say(f"{words}\nIt is left out.")
            return self.state
        mend = "Mend its rows, or leave it out (--skip-bad)"
        also = "" if any(one.fatal for one in findings) else ", or learn from it all the same (--force)"
        stands = f"Nothing was learned from it; generation {self.number - 1} stands."
        raise DataError(f"{words.rstrip('.')}.{chr(10) if len(findings) > 1 else ' '}{stands} {mend}{also}.")

    def _learn(self, profile: Profile, report: Report, findings: Sequence[Finding], clock: "_Clock") -> State:
        number, before = self.number, self.state.encoder.vocabulary
        seed = derive(self.state.learner.assembly.training.seed, "period", number)
        rows = rest(self.source, self.options.hold, seed)
        state = self.state.grown(rows)
        clock.mark("grow")
        learner, history = learn(state, rows, number, profile.digest, self.options, self.out, self.log)
        clock.mark("train")
        state = replace(state, learner=learner)
        sample(rows, state, self.out.sample("replay", number), seed)
        if self.options.hold:
            sample(held_out(self.source, self.options.hold, seed), state, self.out.sample("held", number), seed)
        new = {name: len(one) - len(before.values[name]) for name, one in state.encoder.vocabulary.values.items()}
        line = {
            "generation": number,
            "name": self.period.name,
            "rows": profile.rows,
            "trained": history,
            "time": profile.time,
            "late": profile.late,
            "new scenarios": list(state.encoder.vocabulary.scenarios[len(before.scenarios) :]),
            "new values": {name: count for name, count in new.items() if count},
            "findings": [asdict(one) for one in findings],
            "cells": cells(report),
            "about": self.period.about,
            "options": {"epochs": self.options.epochs, "replay": self.options.replay, **self.options.training},
            "held": remembered(state, self.out, number),
        }
        clock.mark("remember")
        line["seconds"] = clock.seconds
        state = replace(state, history=(*state.history, line), profiles=(*state.profiles, profile))
        self._publish(state, report, profile)
        self._say(_words(line, report))
        return state

    def _publish(self, state: State, report: Report, profile: Profile) -> None:
        prepared = Prepared(state.schema, Splits(self.source, self.source, None), state.encoder)
        golden, store = outcome.golden(self.source, prepared), self.out.generations(self.options.keep)
        assert store.current is not None
        before = Manifest.read(store.current / "bundle").trained_on
        total = sum(int(line["trained"]) for line in state.history)
        told = {
            "trained_on": {
                "rows": {"train": total},
                "generation": self.number,
                "last": self.period.name,
                **outcome.longer(before, outcome.period_of(prepared)),
            },
            "metrics": {
                f"{one.scenario}/{one.task}/{one.space}": one.value for one in report.rows if one.metric == "auc"
            },
        }
        store.publish(lambda path: state.save(path, golden, told, report.to_json()))
        self.out.tell("learned", period=self.period.name, generation=self.number, rows=profile.rows)
        self.out.refresh(state)

    def _say(self, text: str) -> None:
        if self.log is not None:
            self.log(text)


class _Clock:
    """Seconds of each part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def mark(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self.last = round(now - self.last, 3), now


def _words(line: Mapping[str, Any], report: Report) -> str:
    found = [f"{row.task} {row.value:.4f}" for row in report.rows
             if (row.scenario, row.space, row.metric) == ("*", "all", "auc") and row.value is not None]  # fmt: skip
    new = sum(line["new values"].values())
    more = f", {new:,} new values" if new else ""
    more += f", new scenarios {', '.join(line['new scenarios'])}" if line["new scenarios"] else ""
    judged = f"AUC before training {', '.join(found) or 'undefined'}"
    return f"{line['name']}: {line['rows']:,} rows, {judged}{more}; generation {line['generation']}"


def rollback(folder: str | Path, to: int | None = None) -> ContinualFolder:
    """Make an earlier generation the one that stands; without `to`, the one before.

    Raises:
        NotReadyError: it is not there (any more).
    """
    found = ContinualFolder(Path(folder)).finished()
    with found.held():
        store = found.generations(2)
        assert store.current is not None
        number = int(store.current.name) - 1 if to is None else to
        path = store.go_back(number)
        found.tell("rolled back", generation=number)
        found.refresh(State.load(found.config(), path))
    return found
