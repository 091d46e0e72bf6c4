"""One period: looked at, judged, refused or learned from, and kept."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from polyrec.artifact.manifest import Manifest
from polyrec.data.moments import shown
from polyrec.data.profile import Profile
from polyrec.data.split import Splits
from polyrec.errors import DataError, sentence, together
from polyrec.evaluation.figures.wording import plural
from polyrec.evaluation.report import Report
from polyrec.progress import Progress
from polyrec.recipes import outcome
from polyrec.recipes.continual.course import Options
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.guards import Finding, inspect, stray
from polyrec.recipes.continual.judge import cells, pooled_auc, remembered, scored, unjudged
from polyrec.recipes.continual.learn import learn
from polyrec.recipes.continual.periods import Period
from polyrec.recipes.continual.rows import held_out, learned_from, of_target, rest, sample
from polyrec.recipes.continual.state import State
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.recipe import get
from polyrec.recipes.transferring import options_of
from polyrec.training.progress import Log
from polyrec.training.seed import derive


@dataclass
class Step:
    """A period, the state that stands before it, and what to do with it."""

    state: State
    period: Period
    out: ContinualFolder
    options: Options
    log: Log | None
    progress: Progress | None

    def run(self) -> State:
        """The state after it.

        Raises:
            DataError: a bad period, in words.
        """
        name = self.period.name
        known = [line for line in self.state.history if "about" in line and self.period.known(line["about"])]
        if known:
            self._say(f"{name}: learned from already{self._more(known[-1])}")
            return self.state
        clock = _Clock()
        profile, findings = self._read()
        clock.mark("read")
        report = None
        if profile is not None:
            report = scored(self.state, self.judged, self.progress)
            clock.mark("judge")
            findings += self._guards(profile, report)
        if findings and (profile is None or not self.options.force or any(one.fatal for one in findings)):
            return self._refuse(findings)
        assert profile is not None
        assert report is not None
        for one in findings:
            self._say(f"{name}: taken all the same: {one.words}")
        return self._learn(profile, report, findings, clock)

    def _more(self, line: Mapping[str, Any]) -> str:
        """In words, that a stretch of time has other rows than when it was learned from."""
        if not self.period.window:
            return ""
        rows = learned_from(self.state, self.period.source).rows()
        if rows == line["rows"]:
            return ""
        return f", with {line['rows']:,} rows; it has {rows:,} now, and nothing is learned from the others"

    @property
    def number(self) -> int:
        """Of the generation that it becomes."""
        return len(self.state.history)

    def _read(self) -> tuple[Profile | None, list[Finding]]:
        """The profile, or in words why there is none."""
        try:
            self.source = learned_from(self.state, self.period.source)
            self.judged = of_target(self.state.run, self.source, self.state.schema)
            encoder = self.state.bundle(shared=True).encoder
            needed = [*encoder.columns(), *([encoder.schema.keys.time] if encoder.schema.keys.time else [])]
            self.source.require(needed)
            if not self.judged.rows():
                return None, [Finding("empty", self.period.name, self._empty(), fatal=True)]
            until, first = self.state.until, self.state.first
            return Profile.of(self.source, encoder, until, self.progress, first=first), []
        except DataError as reason:
            kind = "empty" if "no rows" in str(reason) else "columns"
            return None, [Finding(kind, self.period.name, str(reason).rstrip("."), fatal=True)]

    def _empty(self) -> str:
        if get(self.state.run.recipe).transfer_options is None:
            return "it has no rows"
        return f"it has no row of the target {options_of(self.state.run).target!r}"

    def _guards(self, profile: Profile, report: Report) -> list[Finding]:
        history = self.state.history
        until, column = self.state.until, self.state.schema.keys.time
        words = shown(until, self.source.columns()[column]) if column and until is not None else None
        names = ["the fit", "its test rows", *(str(line["name"]) for line in history[1:])]
        past = pooled_auc(history)
        before = list(zip(names, self.state.profiles, strict=True))
        auc = {row.task: (row.value, row.high) for row in report.rows
               if (row.scenario, row.space, row.metric) == ("*", "all", "auc")
               and row.value is not None and row.high is not None}  # fmt: skip
        scenarios, stretches = self.state.encoder.vocabulary.scenarios, self.state.stretches
        return inspect(profile, before, until=words, auc=auc, known=past, scenarios=scenarios, stretches=stretches)

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
        raise DataError(f"{sentence(words)}{chr(10) if len(findings) > 1 else ' '}{stands} {mend}{also}.")

    def _learn(self, profile: Profile, report: Report, findings: Sequence[Finding], clock: "_Clock") -> State:
        number, before = self.number, self.state.encoder.vocabulary
        seed = derive(self.state.learner.assembly.training.seed, "period", number)
        # What was held of the fit's test rows, which may come again, stays so.
        hold = max(self.options.hold, self.state.history[0].get("hold", 0.0))
        rows = rest(self.source, hold, self.state.schema, self.state.drawn)
        state = self.state.grown(rows)
        clock.mark("grow")
        about = {**self.period.about, "digest": profile.digest, "hold": hold}
        beside = self._teacher()
        state, trained = learn(state, rows, number, about, self.options, self.out, self.log)
        clock.mark("train")
        sample(rows if state.teacher is None else None, state, self.out.sample("replay", number), seed)
        held = held_out(self.judged, hold, state.schema, state.drawn) if hold else None
        sample(held, state, self.out.sample("held", number), seed)
        new = {name: len(one) - len(before.values[name]) for name, one in state.encoder.vocabulary.values.items()}
        line = {
            "generation": number,
            "name": self.period.name,
            "rows": profile.rows,
            "trained": trained,
            "time": profile.time,
            "late": profile.late,
            "new scenarios": list(state.encoder.vocabulary.scenarios[len(before.scenarios) :]),
            "new values": {name: count for name, count in new.items() if count},
            "notes": [*stray(profile, self.source, state.schema), *unjudged(report)],
            "findings": [asdict(one) for one in findings],
            "cells": cells(report),
            **beside,
            "about": self.period.about,
            "options": {"epochs": self.options.epochs, "replay": self.options.replay, **self.options.training},
            "held": remembered(state, self.out, number),
        }
        for note in line["notes"]:
            self._say(f"warning: {self.period.name}: {note}.")
        clock.mark("remember")
        line["seconds"] = clock.seconds
        state = replace(state, history=(*state.history, line), profiles=(*state.profiles, profile))
        self._publish(state, report, profile)
        self._say(_words(line, report))
        return state

    def _teacher(self) -> dict[str, Any]:
        """How the teacher does on the target's rows of the period, before it has learned from it."""
        teacher = self.state.teachers()
        return {} if teacher is None else {"teacher": cells(scored(self.state, self.judged, by=teacher))}

    def _publish(self, state: State, report: Report, profile: Profile) -> None:
        prepared = Prepared(state.schema, Splits(self.source, self.source, None), state.encoder)
        golden, store = outcome.golden(self.judged, prepared), self.out.generations(self.options.keep)
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
    more += f", new scenarios {', '.join(map(repr, line['new scenarios']))}" if line["new scenarios"] else ""
    judged = f"AUC before training {', '.join(found) or 'undefined'}{_taught(line)}"
    return f"{line['name']}: {plural(line['rows'], 'row')}, {judged}{more}; generation {line['generation']}"


def _taught(line: Mapping[str, Any]) -> str:
    """The teacher's AUC beside the student's."""
    found = [f"{row['task']} {row['value']:.4f}" for row in line.get("teacher", ())
             if (row["scenario"], row["space"], row["metric"]) == ("*", "all", "auc") and "value" in row]  # fmt: skip
    return f" (of its teacher {', '.join(found)})" if found else ""
