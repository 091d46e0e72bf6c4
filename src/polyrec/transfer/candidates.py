"""Rows of other scenarios that may help a target: the funnel from the entire space to weighted rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from polyrec.batch import NO_USER, Batch, Output
from polyrec.config import TransferConfig
from polyrec.data.held import join
from polyrec.errors import DataError
from polyrec.objectives import Objective
from polyrec.shapes import Bool, Float, Int, Tensor
from polyrec.transfer.adaptation import Adapted, adapt
from polyrec.transfer.graph import Edges, Reached, reach, tally
from polyrec.transfer.relation import relations

Batches = Callable[[], Iterable[Batch]]
BLOCK = 8_192


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model of the entire space, and what turns its answers into predictions."""

    model: Callable[[Batch], Output]
    objective: Objective


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The target's rows and the candidates, all of them under the target's name, and how they were found."""

    target: Batch
    candidates: Batch
    weights: Float[Tensor, "C"]
    told: Mapping[str, Any]
    source: Int[Tensor, "C"]  # scenario of each candidate

    def apart(self) -> Batch:
        """All rows under their own scenarios' names; the candidates together weigh as much as the target's rows."""
        named = replace(self.candidates, scenario=self.source)
        share = float(self.target.weight.sum()) / max(float(named.weight.sum()), 1e-12)
        return join([self.target, replace(named, weight=named.weight * share)])

    def together(self, beta: float | Literal["rows"]) -> Batch:
        """All rows; the candidates together weigh beta times as much as the target's rows.

        Formula: weight 1 for the target's n rows, beta n w_i / sum w for candidate i, so that a batch drawn from them
        has the loss `mean_target BCE + beta sum w BCE / sum w`, over 1 + beta. `"rows"`: weight w_i each.
        """
        total = float(self.weights.sum())
        if not len(self.candidates) or beta == 0 or total <= 0:
            return self.target
        whole = total if beta == "rows" else beta * float(self.target.weight.sum())
        share = whole / total * self.weights
        return join([self.target, replace(self.candidates, weight=self.candidates.weight * share)])


def find(
    batches: Batches, target: Batch, unseen: Batch, teacher: Teacher, options: TransferConfig, seed: int = 0
) -> Found:
    """Candidates for a target scenario, with their weights.

    1. Relation: only scenarios whose preferences explain something of the target's rows; a weight each.
    2. Graph: rows of other scenarios with an item and a user that interactions connect with the target's items; rows
       with and without an interaction alike, since leaving those without out would move the base rate.
    3. Thinned at random to `ratio` rows for each of the target's.
    4. Adaptation: density ratios on the teacher's hidden state, every row under the target's name.

    Args:
        batches: training rows (of a window), in order; read some times over.
        target: the target's rows among them (`target_rows`).
        unseen: rows of the target that the teacher did not learn from, and no ending is judged on.
        teacher: trained on the entire space.
        options: which of the steps are taken, and their bounds.
        seed: of the thinning.

    Raises:
        DataError: a graph is asked for, and rows have no item.
    """
    names, scenario = target.layout.scenarios, int(target.scenario[0])
    related = relations(teacher.model, teacher.objective, unseen) if options.relation else dict.fromkeys(names, 1.0)
    entire = np.zeros(len(names), np.int64)
    for batch in batches():
        entire += np.bincount(batch.scenario[batch.scenario >= 0].numpy(), minlength=len(names))
    entire[scenario] = 0
    allowed = torch.tensor([related[name] > 0 and place != scenario for place, name in enumerate(names)])
    graph = _graph(batches, allowed, target, options) if options.graph else None
    reached, picked = _picked(batches, graph, allowed, scenario, options.ratio * len(target), seed)
    told: dict[str, Any] = {"target": names[scenario], "rows": len(target)}
    if options.relation:
        told["related"] = {"rows": len(unseen), "itself": round(related[names[scenario]], 4)}
    if graph is not None:
        told["graph"] = {"items": graph.kept, "own items": graph.own, "users": len(graph.users)}
    if options.adaptation:
        told["placebo"] = _placebo(teacher, target, options)
    if not len(picked):
        sources = _sources(names, scenario, related, entire)
        return Found(target, picked, torch.zeros(0), {**told, "sources": sources}, picked.scenario)
    source = picked.scenario
    moved = replace(picked, scenario=torch.full_like(source, scenario))
    adapted = _adapted(teacher, target, moved, options) if options.adaptation else None
    weights = torch.ones(len(moved)) if adapted is None else adapted.weights
    weights = weights * torch.tensor([related[name] for name in names])[source]
    if adapted is not None:
        told["adaptation"] = {"auc": adapted.auc, "effective": adapted.effective, "clipped": adapted.clipped}
    counts, edges = np.histogram(weights.numpy(), bins=10, range=(0.0, max(float(weights.max()), 1e-6)))
    told["weights"] = {"edges": [round(one, 4) for one in edges.tolist()], "counts": counts.tolist()}
    told["sources"] = _sources(names, scenario, related, entire, reached, source, weights)
    return Found(target, moved, weights, told, source)


def target_rows(batches: Batches, scenario: int, name: str) -> Batch:
    """The rows of one scenario, held in memory.

    Raises:
        DataError: there is none.
    """
    found = [batch.select(torch.nonzero(batch.scenario == scenario)[:, 0]) for batch in batches()]
    rows = join(found)
    if not len(rows):
        raise DataError(f"[transfer] target: no training row is of scenario {name!r}. Give rows of it.")
    return rows


def _graph(batches: Batches, allowed: Tensor, target: Batch, options: TransferConfig) -> Reached:
    """The graph of positives, and as many items as give about `ratio` rows of allowed scenarios for each target row."""
    if target.item is None:
        raise DataError(
            "the graph of users and items needs both keys in the schema, and [keys] has no item. "
            "Add it, or set [transfer] graph = false."
        )

    def edges() -> Iterator[Edges]:
        for batch in batches():
            yield _keys(batch, (batch.observed & (batch.labels > 0.5)).any(1))

    shown, counts = tally(_keys(batch, _allowed(batch, allowed))[1] for batch in batches())

    def keep(items: np.ndarray, own: int) -> int:
        if not len(shown):
            return own
        place = np.searchsorted(shown, items).clip(max=len(shown) - 1)
        rows = np.cumsum(np.where(shown[place] == items, counts[place], 0))
        return max(own, int(np.searchsorted(rows, options.ratio * len(target))) + 1)

    return reach(edges(), _keys(target, torch.ones(len(target), dtype=torch.bool))[1], keep, parts=options.parts)


def _allowed(batch: Batch, allowed: Bool[Tensor, "S"]) -> Bool[Tensor, "B"]:
    return allowed[batch.scenario.clamp(min=0)] & (batch.scenario >= 0)


def _keys(batch: Batch, rows: Bool[Tensor, "B"]) -> Edges:
    """Users and items of these rows, where both are known."""
    assert batch.item is not None
    known = rows & (batch.user != NO_USER) & (batch.item != NO_USER)
    return batch.user[known].numpy(), batch.item[known].numpy()


def _picked(
    batches: Batches, graph: Reached | None, allowed: Tensor, scenario: int, most: float, seed: int
) -> tuple[np.ndarray, Batch]:
    """How many rows of each scenario pass the graph, and at random so many of those of allowed scenarios."""
    reached = np.zeros(len(allowed), np.int64)
    for batch in batches():
        passing = batch.scenario[_passes(batch, graph, scenario)]
        reached += np.bincount(passing.numpy(), minlength=len(allowed))
    share = min(1.0, most / max(int(reached[allowed.numpy()].sum()), 1))
    random = torch.Generator().manual_seed(seed)
    held = []
    for batch in batches():
        rows = _passes(batch, graph, scenario) & _allowed(batch, allowed)
        rows &= torch.rand(len(batch), generator=random) < share
        held.append(batch.select(torch.nonzero(rows)[:, 0]))
    return reached, join(held)


def _passes(batch: Batch, graph: Reached | None, scenario: int) -> Bool[Tensor, "B"]:
    others = (batch.scenario >= 0) & (batch.scenario != scenario)
    if graph is None:
        return others
    assert batch.item is not None
    return others & torch.from_numpy(graph.holds(batch.user.numpy(), batch.item.numpy()))


@torch.no_grad()
def _adapted(teacher: Teacher, target: Batch, candidates: Batch, options: TransferConfig) -> Adapted:
    return adapt(
        _representation(teacher, target),
        _representation(teacher, candidates),
        target.user.numpy(),
        candidates.user.numpy(),
        clip=options.clip,
        folds=options.folds,
    )


def _placebo(teacher: Teacher, target: Batch, options: TransferConfig) -> dict[str, float] | None:
    """Half of the target's users against the other half, whose weights must be about 1; None with fewer than 2 users.

    The classifier has no more rows than those, so that its weights scatter more than those of candidates.
    """
    users, place = np.unique(target.user.numpy(), return_inverse=True)
    if len(users) < 2:
        return None
    mine = (np.random.default_rng(1).permutation(len(users)) % 2)[place.ravel()] == 0
    one, other = (target.select(torch.from_numpy(np.flatnonzero(half))) for half in (mine, ~mine))
    found = _adapted(teacher, one, other, options)
    weights = found.weights.double()
    return {
        "rows": len(weights),
        "auc": round(found.auc, 4),
        "weight": round(float(weights.mean()), 4),
        "spread": round(float(weights.std(correction=0)), 4),
    }


def _representation(teacher: Teacher, rows: Batch) -> Float[Tensor, "B H"]:
    """The teacher's hidden states side by side."""
    parts = []
    for at in range(0, len(rows), BLOCK):
        output = teacher.model(rows.select(torch.arange(at, min(at + BLOCK, len(rows)))))
        shown = output.hidden or {name: one[:, None] for name, one in output.logits.items()}
        parts.append(torch.cat([one.flatten(1) for one in shown.values()], 1))
    return torch.cat(parts)


def _sources(
    names: tuple[str, ...],
    scenario: int,
    related: Mapping[str, float],
    entire: np.ndarray,
    reached: np.ndarray | None = None,
    source: Tensor | None = None,
    weights: Tensor | None = None,
) -> list[dict[str, Any]]:
    """The funnel, a line for each source scenario."""
    lines = []
    for place, name in enumerate(names):
        if place == scenario:
            continue
        mine = weights[source == place] if source is not None and weights is not None else torch.zeros(0)
        whole = float(weights.sum()) if weights is not None else 0.0
        lines.append(
            {
                "scenario": name,
                "entire": int(entire[place]),
                "graph": int(reached[place]) if reached is not None else 0,
                "candidates": len(mine),
                "relation": round(related[name], 4),
                "weight": round(float(mine.mean()), 4) if len(mine) else None,
                "share": round(float(mine.sum()) / whole, 4) if whole > 0 else 0.0,
            }
        )
    return lines
