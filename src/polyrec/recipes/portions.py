"""Which rows serve what in a transfer: to teach, to stop and tune, to judge, to ask about relations."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from polyrec.batch import Batch
from polyrec.config import RunConfig, TransferConfig
from polyrec.data.files import Source
from polyrec.data.held import join
from polyrec.data.where import Between, Both, Named, Not, Share, Where
from polyrec.errors import ConfigError, DataError
from polyrec.recipes.outcome import period_of
from polyrec.recipes.recipe import get
from polyrec.recipes.rows import Rows
from polyrec.recipes.taught import held_by
from polyrec.recipes.window import last_periods
from polyrec.transfer.candidates import target_rows

HALVES, HELD = 7_041, 7_042  # seeds: of the halves of the validation rows, of users kept from the teacher


@dataclass
class Portions:
    """The rows of a run for one target scenario, parted so that none serves two ends that must not know each other."""

    run: RunConfig
    everywhere: Rows  # all scenarios
    options: TransferConfig

    @cached_property
    def rows(self) -> Rows:
        """The same run, validated and tested on the target's rows alone."""
        prepared = self.everywhere.prepared
        splits, column = prepared.splits, prepared.schema.keys.scenario
        mine = Named(column, (self.options.target,))

        def only(source: Any, name: str) -> Any:
            if source is None:
                return None
            where: Where = mine if source.where is None else Both(source.where, mine)
            found = source.filtered(where)
            if not found.rows():
                raise DataError(f"no {name} row is of the target {self.options.target!r}. Give rows of it.")
            return found

        parts = replace(splits, valid=only(splits.valid, "validation"), test=only(splits.test, "test"))
        return Rows(self.run, replace(prepared, splits=parts))

    @cached_property
    def guarded(self) -> bool:
        """Whether several endings are tried, so that rows are needed that stopped none of them."""
        return any(stage.candidate for stage in get(self.run.recipe).stages)

    @cached_property
    def stopping(self) -> Rows:
        """Validated on the target's validation rows that stop and tune: half of their users where there is a guard."""
        return self._half(0) if self.guarded else self.rows

    @cached_property
    def judging(self) -> Batch:
        """The target's validation rows that judge the endings: the other half of the users."""
        return validated(self._half(1))

    def _half(self, place: int) -> Rows:
        prepared = self.rows.prepared
        valid, user = prepared.splits.valid, prepared.schema.keys.user
        mine = Share(place / 2, (place + 1) / 2, HALVES, user)
        found = valid.filtered(mine if valid.where is None else Both(valid.where, mine))
        if not found.rows():
            raise DataError(
                f"the {valid.rows():,} validation rows of the target {self.options.target!r} are of too few users to "
                "be halved: one half stops and tunes, the other judges. Give more of them."
            )
        return Rows(self.run, replace(prepared, splits=replace(prepared.splits, valid=found)))

    @property
    def place(self) -> int:
        """The target's among the scenarios."""
        return self.everywhere.prepared.encoder.layout.scenarios.index(self.options.target)

    @cached_property
    def target(self) -> Batch:
        """The target's training rows."""
        return target_rows(self._batches, self.place, self.options.target)

    def _batches(self) -> Iterable[Batch]:
        return self.everywhere.batches(self.everywhere.prepared.splits.train)

    @cached_property
    def held(self) -> float:
        """Share of the target's users whose training rows the teacher does not see."""
        if self.options.teacher is not None:
            return held_by(self.options.teacher, self.options.target)
        transfers = any(stage.data == "transfer" for stage in get(self.run.recipe).stages)
        return self.options.held if transfers and self.options.relation else 0.0

    def told(self) -> dict[str, Any]:
        """For the teacher's manifest: users of the target whose training rows it was not shown (`held`), and those on
        whose validation rows it did not stop (`spared`), by share.
        """
        held = {"scenario": self.options.target, "share": self.held}
        return {"held": held, **({"spared": {**held, "share": 0.5}} if self.guarded else {})}

    @property
    def _apart(self) -> Where:
        """The target's rows that the teacher is not shown."""
        keys = self.everywhere.prepared.schema.keys
        return Both(Named(keys.scenario, (self.options.target,)), Share(0.0, self.held, HELD, keys.user))

    @cached_property
    def shown(self) -> Rows:
        """All scenarios' training rows that the teacher learns from."""
        return self.everywhere if self.held == 0 else self._trained(Not(self._apart))

    @property
    def past(self) -> Rows:
        """Of those, the rows of the first half of the training time."""
        prepared = self.everywhere.prepared
        period = period_of(prepared).get("period", {"from": None, "to": None})
        first, last = period["from"], period["to"]
        if not isinstance(first, int | float) or not isinstance(last, int | float):
            raise ConfigError(
                f"recipe {self.run.recipe!r} halves the training time: it needs [keys] time, a column of numbers."
            )
        early = Between(str(prepared.schema.keys.time), None, (first + last) / 2)
        return self._trained(early if self.held == 0 else Both(early, Not(self._apart)))

    @cached_property
    def unseen(self) -> Batch:
        """The target's rows that the teacher did not learn from, and no ending is judged on."""
        rows = validated(self.stopping)
        if self.held == 0:
            return rows
        apart = self._trained(self._apart)
        source = apart.prepared.splits.train
        return join([rows, *apart.batches(source)]) if source.rows() else rows

    def _trained(self, where: Where) -> Rows:
        prepared = self.everywhere.prepared
        train = prepared.splits.train
        found = train.filtered(where if train.where is None else Both(train.where, where))
        return Rows(self.run, replace(prepared, splits=replace(prepared.splits, train=found)))

    @cached_property
    def teaching(self) -> Rows:
        """All scenarios, without the target's validation rows that judge: the teacher's end must not know them."""
        if not self.guarded:
            return self.everywhere
        prepared = self.everywhere.prepared
        valid, keys = prepared.splits.valid, prepared.schema.keys
        rest = Not(Both(Named(keys.scenario, (self.options.target,)), Share(0.5, 1.0, HALVES, keys.user)))
        found = valid.filtered(rest if valid.where is None else Both(valid.where, rest))
        return Rows(self.run, replace(prepared, splits=replace(prepared.splits, valid=found)))

    @cached_property
    def window(self) -> Source:
        """Training rows of the last periods, among which candidates are looked for; all where no window is set."""
        prepared, options = self.everywhere.prepared, self.options
        if options.window is None:
            return prepared.splits.train
        return last_periods(prepared.splits.train, prepared.schema.keys.time, options.window, options.period)

    def windowed(self) -> Iterable[Batch]:
        """Training rows of the window, in order."""
        return self.everywhere.batches(self.window)


def validated(rows: Rows) -> Batch:
    """The validation rows, held in memory."""
    return join(list(rows.batches(rows.prepared.splits.valid)))
