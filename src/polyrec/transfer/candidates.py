"""Rows of other scenarios that may help a target: the funnel from the entire space to weighted rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from polyrec.batch import Batch, Output
from polyrec.config import TransferConfig
from polyrec.data.held import join
from polyrec.distributed import world
from polyrec.errors import DataError
from polyrec.objectives import Objective
from polyrec.shapes import Float, Int, Tensor
from polyrec.transfer.adaptation import Adapted, adapt
from polyrec.transfer.asked import asked
from polyrec.transfer.passing import Batches, passing, picked
from polyrec.transfer.people import people
from polyrec.transfer.relation import relations

T = TypeVar("T")


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
    places: Int[np.ndarray, "C"] | None = None  # of the candidates in the stream of rows that were looked at

    def apart(self) -> Batch:
        """All rows under their own scenarios' names; the candidates together weigh as much as the target's rows."""
        named = replace(self.candidates, scenario=self.source)
        share = float(self.target.weight.sum()) / max(float(named.weight.sum()), 1e-12)
        return join([self.target, replace(named, weight=named.weight * share)])

    def together(self, beta: float | Literal["rows"]) -> Batch:
        """All rows; the candidates together weigh beta times as much as the target's rows.

        Formula: weight 1 for the target's n rows, beta n w_i / sum w for candidate i, so that a batch drawn from them
        has the loss `mean_target BCE + beta sum w BCE / sum w`, over 1 + beta. `"rows"`: weight w_i each. Rows that
        have weights of their own: n is the sum of the target's, and w_i is multiplied by the candidate's.
        """
        weighed = self.candidates.weight * self.weights
        total = float(weighed.sum())
        if not len(self.candidates) or beta == 0 or total <= 0:
            return self.target
        whole = total if beta == "rows" else beta * float(self.target.weight.sum())
        return join([self.target, replace(self.candidates, weight=whole / total * weighed)])


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
    related: Mapping[str, float] = dict.fromkeys(names, 1.0)
    if options.relation:
        related = _agreed(relations(teacher.model, teacher.objective, unseen))
    entire = np.zeros(len(names), np.int64)
    for batch in batches():
        entire += np.bincount(batch.scenario[batch.scenario >= 0].numpy(), minlength=len(names))
    entire[scenario] = 0
    allowed = torch.tensor([related[name] > 0 and place != scenario for place, name in enumerate(names)])
    found = passing(batches, target, allowed, options)
    drawn = picked(batches, found, options.ratio * len(target), seed)
    reached, chosen = drawn.passed, drawn.rows
    told: dict[str, Any] = {"target": names[scenario], "rows": len(target)}
    if options.relation:
        told["related"] = {"rows": len(unseen), "itself": round(related[names[scenario]], 4)}
    if found.graph is not None:
        users = found.graph.reached(found.kept)
        told["graph"] = {"items": found.kept, "own items": found.graph.own, "users": users}
    if options.adaptation:
        told["placebo"] = _placebo(teacher, target, options)
    if not len(chosen):
        sources = _sources(names, scenario, related, entire, reached)
        return Found(target, chosen, torch.zeros(0), {**told, "sources": sources}, chosen.scenario, drawn.places)
    source = chosen.scenario
    moved = replace(chosen, scenario=torch.full_like(source, scenario))
    adapted = _agreed(_adapted(teacher, target, moved, options)) if options.adaptation else None
    weights = torch.ones(len(moved)) if adapted is None else adapted.weights
    weights = weights * torch.tensor([related[name] for name in names])[source]
    if adapted is not None:
        told["adaptation"] = {"auc": adapted.auc, "effective": adapted.effective, "clipped": adapted.clipped}
    counts, edges = np.histogram(weights.numpy(), bins=10, range=(0.0, max(float(weights.max()), 1e-6)))
    told["weights"] = {"edges": [round(one, 4) for one in edges.tolist()], "counts": counts.tolist()}
    told["sources"] = _sources(names, scenario, related, entire, reached, source, weights)
    return Found(target, moved, weights, told, source, drawn.places)


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


def _agreed(mine: T) -> T:
    """What the first of several processes found: they go on with the same rows and weights, to the last bit."""
    return world().from_first(lambda: mine)


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
    place = people(target.user.numpy())
    users = int(place.max()) + 1
    if users < 2:
        return None
    mine = (np.random.default_rng(1).permutation(users) % 2)[place] == 0
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
    for output, _ in asked(teacher.model, rows):
        shown = output.hidden or {name: one[:, None] for name, one in output.logits.items()}
        parts.append(torch.cat([one.flatten(1) for one in shown.values()], 1))
    return torch.cat(parts).cpu()


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
