"""Self-supervision across scenarios: the same user, or item, in another scenario is its own second view."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch.nn import functional

from polyrec.batch import NO_USER, Batch, Layout, Output
from polyrec.declare import STRICT
from polyrec.objectives.objective import Terms, register
from polyrec.objectives.vectors import VectorObjective, identity, vectors
from polyrec.shapes import Float, Int, Tensor


@dataclass(frozen=True, slots=True)
class ContrastiveConfig:
    """Options of `contrastive`."""

    __pydantic_config__ = STRICT
    task: str | None = None  # the head asked for; no label is read
    temperature: Annotated[float, Gt(0.0)] = 0.1
    item_weight: Annotated[float, Ge(0.0)] = 1.0  # of the item term beside the user term


@register("contrastive", ContrastiveConfig)
class Contrastive(VectorObjective):
    """InfoNCE between the vectors of one entity in two scenarios, for users and for items.

    Formula, for every ordered pair of rows (a, b) of one user in two scenarios p and q, over the rows k of scenario q
    that are of other users:
        l_ab = -log( e_ab / (e_ab + sum_k e_ak) ),   e_ab = exp(<u_a, u_b> / temperature)
        user = mean of l over the pairs; item likewise with item vectors, times `item_weight`

    So with rows of two scenarios it is the sum over both directions, halved. Rows that repeat an entity are no
    negatives of it. Watched beside the terms (events.jsonl): `user_alignment`, the mean squared distance of a pair;
    `user_uniformity`, log of the mean of exp(-2 squared distance) over rows of different users: near 0 when all
    vectors collapse into one; and both for items.

    Needs:
        A model with hidden `user` and `item`; keys for user and item; batches with users and items of two scenarios
        (`data = "pairs"` in a stage). No label: rows that nobody labelled take part.

    Relations:
        A shared id embedding can solve it trivially: a pair shares its ids. `mask_id` of the pairs hides the id in
        one view with a probability.

    Source: stage 1 of SASS (Zhang et al., CIKM 2022); the formula is our reconstruction. Alignment and uniformity:
    Wang and Isola, ICML 2020.
    """

    def __init__(self, layout: Layout, config: ContrastiveConfig) -> None:
        super().__init__(layout, config.task)
        self.config = config
        self.sides: tuple[Literal["user", "item"], ...] = ("user", "item") if config.item_weight else ("user",)
        self._watched: dict[str, Float[Tensor, ""]] = {}

    @property
    def terms(self) -> tuple[str, ...]:
        """`user` and, unless it weighs nothing, `item`."""
        return self.sides

    @property
    def watched(self) -> Mapping[str, Float[Tensor, ""]]:
        """Alignment and uniformity of the batch seen last."""
        return self._watched

    def forward(self, output: Output, batch: Batch) -> Terms:
        """Mean over the pairs that are in the batch; 0 where there is none."""
        terms: dict[str, Float[Tensor, ""]] = {}
        self._watched = {}
        for side, every in zip(("user", "item"), vectors(output), strict=True):
            if side not in self.sides:
                continue
            entity = identity(batch, side)
            term, watched = info_nce(every, entity, batch.scenario, self.config.temperature)
            terms[side] = term * self.config.item_weight if side == "item" else term
            self._watched |= {f"{side}_{name}": one for name, one in watched.items()}
        return terms


def info_nce(
    every: Float[Tensor, "B D"], entity: Int[Tensor, "B"], scenario: Int[Tensor, "B"], temperature: float
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """The mean InfoNCE over all pairs of rows of one entity in two scenarios, and what to watch; see `Contrastive`.

    Example:
        >>> vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
        >>> entity, scenario = torch.tensor([5, 6, 5, 6]), torch.tensor([0, 0, 1, 1])
        >>> term, watched = info_nce(vectors, entity, scenario, 1.0)
        >>> round(float(term), 4), float(watched["alignment"])  # log(1 + exp(0 - 1))
        (0.3133, 0.0)
    """
    same = (entity[:, None] == entity[None]) & (entity != NO_USER)[:, None]
    across = scenario[:, None] != scenario[None]
    anchor, other = torch.nonzero(same & across, as_tuple=True)  # [P] pairs
    near = every @ every.T  # [B, B]
    if not len(anchor):
        return every.sum() * 0.0, {"alignment": near.new_zeros(()), "uniformity": near.new_zeros(())}
    there = scenario[other][:, None] == scenario[None]  # [P, B]: rows of the second view's scenario
    against = there & ~same[anchor]
    against[torch.arange(len(anchor), device=anchor.device), other] = True
    logits = (near[anchor] / temperature).masked_fill(~against, -torch.inf)
    term = functional.cross_entropy(logits, other)
    return term, _watch(near.detach(), same, (anchor, other))


def _watch(near: Tensor, same: Tensor, pairs: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Alignment and uniformity of vectors of length 1, from their inner products."""
    apart = (2.0 - 2.0 * near).clamp(min=0.0)
    others = ~same
    spread = torch.where(others, torch.exp(-2.0 * apart), torch.zeros_like(apart)).sum() / others.sum().clamp(min=1)
    return {"alignment": apart[pairs].mean(), "uniformity": torch.log(spread.clamp(min=1e-30))}
