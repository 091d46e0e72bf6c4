"""How well vectors retrieve: every user of some rows against the whole pool of the scenario."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from polyrec.batch import NO_USER, Batch, Jagged
from polyrec.data.held import keys, one_each, where
from polyrec.errors import DataError
from polyrec.metrics import topk
from polyrec.metrics.estimate import Estimate
from polyrec.models import TwoTowers
from polyrec.retrieval.exact import Exact
from polyrec.retrieval.hits import Hits
from polyrec.shapes import Bool, Float, Int, Tensor

BLOCK = 4_096  # rows whose vectors are made at a time
Exclude = Literal["none", "positives", "shown"]
Rows = Callable[[], Iterable[Batch]]  # read from the start each time


@dataclass(frozen=True, slots=True)
class Judged:
    """The metrics of one scenario; `n` users were asked for, who have `positives` relevant items among them."""

    estimates: Mapping[str, Estimate]
    n: int
    positives: int


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked in one scenario: its pool, its users, what is relevant to each and what is hidden from each."""

    items: Batch  # one row an item of the pool
    users: Batch  # one row a user, the first of the judged ones: what is known when he comes
    relevant: Jagged  # places in `items`, a row a user
    exclude: Jagged | None


class Trial:
    """Full ranking, scenario by scenario.

    The pool of a scenario is every item that occurs in it, in training or judged rows. A user takes part in a
    scenario where a judged row of his is positive; those items are relevant. Items that he has in the rows seen before
    (`exclude`: with a positive label, or at all) can neither be found nor be relevant.

    Args:
        seen: rows before the judged ones: they fill pools and exclusions.
        judged: rows whose positives are to be found.
        positive: which rows of a batch are positives.
        exclude: what is hidden from a user: `"none"`, his `"positives"`, or everything `"shown"` to him.
        ks: cut-offs.

    Raises:
        DataError: rows without keys of users and items.
    """

    def __init__(
        self,
        seen: Rows,
        judged: Rows,
        positive: Callable[[Batch], Bool[Tensor, "B"]],
        *,
        exclude: Exclude = "none",
        ks: Sequence[int] = topk.KS,
    ) -> None:
        self.ks = tuple(ks)
        both = (batch for rows in (seen, judged) for batch in rows())
        pool = one_each(both, "item")
        asked = where(judged(), positive)
        users = _of_pairs(one_each(judged(), "user", keep="first"), asked)
        self.scenarios = pool.layout.scenarios
        hidden = None
        if exclude != "none":
            hidden = where(seen(), positive if exclude == "positives" else lambda batch: batch.scenario >= 0)
        self.questions = {
            name: _question(place, pool, users, asked, hidden) for place, name in enumerate(self.scenarios)
        }

    def run(self, model: nn.Module) -> dict[str, Judged]:
        """The metrics of a model's vectors, by scenario."""

        def search(question: Question) -> Hits:
            index = Exact(embed(model, "item", question.items))
            return index.search(embed(model, "user", question.users), max(self.ks), exclude=question.exclude)

        return self.judge(search)

    def judge(self, search: Callable[[Question], Hits]) -> dict[str, Judged]:
        """The metrics of any way to find items, by scenario; `search` gives at least max(ks) hits or the whole pool."""
        found = {}
        for name, question in self.questions.items():
            lacking = self._lacking(question)
            if lacking:
                names = [f"{kind}@{k}" for k in self.ks for kind in topk.KINDS]
                found[name] = Judged(dict.fromkeys(names, Estimate.undefined(lacking)), 0, 0)
                continue
            places = search(question).places.numpy()
            hits = topk.found(places, question.relevant.values.numpy(), question.relevant.offsets.numpy())
            values = topk.by_query(hits, question.relevant.lengths.numpy(), self.ks)
            note = ""
            if len(question.items) < max(self.ks):
                note = f"the pool has {len(question.items)} items"
            estimates = topk.estimates(values, topk.coverage(places, len(question.items), self.ks), note)
            found[name] = Judged(estimates, len(question.users), len(question.relevant.values))
        return found

    def _lacking(self, question: Question) -> str:
        if not len(question.items):
            return "no items"
        return "" if len(question.users) else "no user has a relevant item"


@torch.no_grad()
def embed(model: nn.Module, of: Literal["user", "item"], rows: Batch) -> Float[Tensor, "B D"]:
    """Vectors of rows, block by block."""
    device = next(model.parameters()).device
    side = towers(model).user if of == "user" else towers(model).item
    places = torch.split(torch.arange(len(rows)), BLOCK)
    return torch.cat([side(rows.select(part).to(device)).cpu() for part in places])


def macro(judged: Mapping[str, Judged]) -> dict[str, Estimate]:
    """The mean of each metric over the scenarios where it is defined, and how many those are."""
    found = {}
    for metric in next(iter(judged.values())).estimates:
        defined = [one.estimates[metric] for one in judged.values() if one.estimates[metric].value is not None]
        if not defined:
            found[metric] = Estimate.undefined("undefined in every scenario")
            continue
        value = float(np.mean([one.value for one in defined]))
        note = f"mean of {len(defined)} of {len(judged)} scenarios"
        halves = [(one.high - one.low) / 2 for one in defined if one.high is not None and one.low is not None]
        if len(halves) < len(defined):
            found[metric] = Estimate.of(value, note=f"{note}; no interval: a scenario has none")
            continue
        half = float(np.sqrt(np.sum(np.square(halves)))) / len(defined)
        found[metric] = Estimate.of(value, value - half, value + half, note)
    return found


def _of_pairs(users: Batch, asked: Batch) -> Batch:
    """The rows of those users that have a positive in their row's scenario."""
    wanted = _codes(asked, "user", users)
    return users.select(torch.nonzero(torch.isin(_codes(users, "user", users), wanted))[:, 0])


def _codes(rows: Batch, what: Literal["user", "item"], known: Batch) -> Int[Tensor, "B"]:
    """A number for each (entity, scenario) that `known` has; -1 for others."""
    names = torch.unique(keys(known, what))
    entity = keys(rows, what)
    place = torch.searchsorted(names, entity).clamp(max=max(len(names) - 1, 0))
    if not len(names):
        return torch.full_like(entity, -1)
    there = (names[place] == entity) & (entity != NO_USER) & (rows.scenario >= 0)
    return torch.where(there, place * len(rows.layout.scenarios) + rows.scenario, -1)


def _question(scenario: int, pool: Batch, users: Batch, asked: Batch, hidden: Batch | None) -> Question:
    items = pool.select(torch.nonzero(pool.scenario == scenario)[:, 0])
    mine = users.select(torch.nonzero(users.scenario == scenario)[:, 0])
    liked = _pairs(asked, scenario, mine, items)
    exclude = None
    if hidden is not None:
        away = _pairs(hidden, scenario, mine, items)
        liked = liked[~torch.isin(liked, away)]
        exclude = _jagged(away, len(mine), len(items))
    relevant = _jagged(liked, len(mine), len(items))
    kept = torch.nonzero(relevant.lengths > 0)[:, 0]
    if len(kept) < len(mine):
        mine, relevant = mine.select(kept), relevant.select(kept)
        exclude = None if exclude is None else exclude.select(kept)
    return Question(items, mine, relevant, exclude)


def _pairs(rows: Batch, scenario: int, users: Batch, items: Batch) -> Int[Tensor, "V"]:
    """User place * items + item place of the rows of a scenario, sorted, each pair once."""
    inside = rows.scenario == scenario
    user, item = _place(users.user, rows.user[inside]), _place(keys(items, "item"), keys(rows, "item")[inside])
    both = (user >= 0) & (item >= 0)
    found: Tensor = torch.unique(user[both] * max(len(items), 1) + item[both])
    return found


def _place(known: Int[Tensor, "U"], wanted: Int[Tensor, "V"]) -> Int[Tensor, "V"]:
    """Where each wanted value stands among the known ones, which are all different; -1 where it does not."""
    if not len(known):
        return torch.full_like(wanted, -1)
    names, order = known.sort()
    at = torch.searchsorted(names, wanted).clamp(max=len(names) - 1)
    return torch.where(names[at] == wanted, order[at], -1)


def _jagged(pairs: Int[Tensor, "V"], rows: int, items: int) -> Jagged:
    span = max(items, 1)
    lengths = torch.bincount(pairs // span, minlength=rows)
    offsets = torch.zeros(rows + 1, dtype=torch.int64)
    offsets[1:] = torch.cumsum(lengths, 0)
    return Jagged(pairs % span, offsets)


def towers(model: object) -> TwoTowers:
    """The model, known to have user and item vectors.

    Raises:
        DataError: it has none.
    """
    if not isinstance(model, TwoTowers):
        raise DataError(
            f"a {type(model).__name__} has no user and item vectors to retrieve with. "
            "Fit a recipe of two towers: twotower-mixed, sass-base, sass."
        )
    return model
