"""Retrieval as choosing one item of a scenario's pool: in-batch softmax, sampled softmax, pairwise ranking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch.nn import functional

from polyrec.batch import Batch, Layout, Output
from polyrec.declare import STRICT
from polyrec.objectives.contrastive import info_nce
from polyrec.objectives.objective import Terms, register
from polyrec.objectives.vectors import Frequencies, VectorObjective, identity, strangers, vectors
from polyrec.shapes import Bool, Float, Int, Tensor

Temperature = Annotated[float, Gt(0.0)]


@dataclass(frozen=True, slots=True)
class SoftmaxConfig:
    """Options of `in_batch_softmax` and `sampled_softmax`."""

    __pydantic_config__ = STRICT
    task: str | None = None  # whose label makes a row a positive; the schema's first
    temperature: Temperature = 0.1
    log_q: bool = True  # correct for how often an item is drawn as a negative


class _Softmax(VectorObjective):
    """Cross-entropy of each positive's item among candidates of its scenario."""

    def __init__(self, layout: Layout, config: SoftmaxConfig) -> None:
        super().__init__(layout, config.task)
        self.config = config
        self.frequencies = Frequencies(len(layout.scenarios)) if config.log_q else None

    @property
    def terms(self) -> tuple[str, ...]:
        """One."""
        return (self.task,)

    def _candidates(self, positive: Bool[Tensor, "B"]) -> Int[Tensor, "C"]:
        raise NotImplementedError(f"{type(self).__name__} must name its candidates")

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The weighted mean over positives."""
        user, item = vectors(output)
        positive = self.positives(batch)
        rows, columns = torch.nonzero(positive)[:, 0], self._candidates(positive)
        bias = self._bias(batch, columns)
        if not len(rows):
            return {self.task: (user.sum() + item.sum()) * 0.0}
        near = user[rows] @ item[columns].T / self.config.temperature - bias
        allowed = strangers(batch, rows, columns, positive) | (rows[:, None] == columns[None])
        target = torch.searchsorted(columns, rows)
        lost = functional.cross_entropy(near.masked_fill(~allowed, -torch.inf), target, reduction="none")
        weight = batch.weight[rows]
        return {self.task: (lost * weight).sum() / weight.sum().clamp(min=1e-12)}

    def _bias(self, batch: Batch, columns: Int[Tensor, "C"]) -> Float[Tensor, "C"] | float:
        if self.frequencies is None:
            return 0.0
        drawn = batch.scenario[columns], identity(batch, "item")[columns]
        if self.training:
            self.frequencies.count(*drawn)
        return self.frequencies.log_q(*drawn)


@register("in_batch_softmax", SoftmaxConfig)
class InBatchSoftmax(_Softmax):
    """The items of the batch's other positives are the negatives, scenario by scenario.

    Formula, i a positive row, s its scenario, C_i the positives j of s with another item than i's that is none of
    the user's positives either, and Q the share of draws that are the item:
        l_i = -log( e_ii / (e_ii + sum_{j in C_i} e_ij) ),  e_ij = exp(<u_i, v_j> / temperature - log Q_s(j))
        term = sum_i w_i l_i / sum_i w_i

    Needs:
        A model with hidden `user` and `item`; keys for user and item; the task's label. Rows without the label
        observed, or with label 0, take no part. Batches of one scenario each (`data = "positives"` in a stage) give
        small scenarios as many negatives as large ones.

    Relations:
        `sampled_softmax` draws its negatives from all rows. Without `log_q` popular items are pushed down for being
        popular.

    Source: Yi et al., RecSys 2019 (log Q). Keeping negatives within the scenario is our reading of SASS.
    """

    def _candidates(self, positive: Bool[Tensor, "B"]) -> Int[Tensor, "C"]:
        return torch.nonzero(positive)[:, 0]


@register("sampled_softmax", SoftmaxConfig)
class SampledSoftmax(_Softmax):
    """As `in_batch_softmax`, with the items of all rows of the batch as samples: shown, clicked or without a label.

    Formula:
        that of `in_batch_softmax` with C_i all rows j of the scenario, and Q the share of all rows.

    Needs:
        As `in_batch_softmax`. With batches of log rows, negatives are drawn as items were shown.

    Relations:
        Each item weighs as in a full softmax once its share of draws is divided out (Bengio and Senecal 2008).
    """

    def _candidates(self, positive: Bool[Tensor, "B"]) -> Int[Tensor, "C"]:
        return torch.arange(len(positive), device=positive.device)


@dataclass(frozen=True, slots=True)
class ContrastedConfig(SoftmaxConfig):
    """Options of `contrasted_softmax`."""

    contrast: Annotated[float, Ge(0.0)] = 0.1  # weight of the contrastive terms
    contrast_temperature: Temperature = 0.1


@register("contrasted_softmax", ContrastedConfig)
class ContrastedSoftmax(InBatchSoftmax):
    """`in_batch_softmax` and `contrastive` in one step: what a scenario learns from labels reaches its relatives.

    Formula:
        term = in_batch_softmax;  user, item = contrast times those of `contrastive`

    While labels move the vectors of a rich scenario, contrast keeps those of the same user (item) in a starved one near
    them; pre-training alone aligns vectors that know no preference yet.

    Needs:
        As both; batches with positives and pairs (`data = "positives and pairs"` in a stage).

    Source: ours.
    """

    def __init__(self, layout: Layout, config: ContrastedConfig) -> None:
        super().__init__(layout, config)
        self.weight, self.temperature = config.contrast, config.contrast_temperature
        self._watched: dict[str, Float[Tensor, ""]] = {}

    @property
    def terms(self) -> tuple[str, ...]:
        """The task's, `user` and `item`."""
        return (self.task, "user", "item")

    @property
    def watched(self) -> Mapping[str, Float[Tensor, ""]]:
        """Alignment and uniformity of the batch seen last."""
        return self._watched

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The softmax over the positives, the contrast over all rows."""
        terms, self._watched = dict(super().forward(output, batch)), {}
        for side, every in zip(("user", "item"), vectors(output), strict=True):
            term, watched = info_nce(every, identity(batch, side), batch.scenario, self.temperature)
            terms[side] = term * self.weight
            self._watched |= {f"{side}_{name}": one for name, one in watched.items()}
        return terms


@dataclass(frozen=True, slots=True)
class BPRConfig:
    """Options of `bpr`."""

    __pydantic_config__ = STRICT
    task: str | None = None  # whose label makes a row a positive; the schema's first
    temperature: Temperature = 0.1


@register("bpr", BPRConfig)
class BPR(VectorObjective):
    """A positive's item is to score higher than any other row's item of the scenario, pair by pair.

    Formula, N_i the rows of i's scenario with another item, that is none of the user's positives:
        l_i = mean_{j in N_i} -log sigmoid((<u_i, v_i> - <u_i, v_j>) / temperature)
        term = sum_i w_i l_i / sum_i w_i over the positives with an N_i

    Needs:
        A model with hidden `user` and `item`; keys for user and item; the task's label.

    Source: Rendle et al. 2009, "BPR: Bayesian Personalized Ranking from Implicit Feedback", with the negatives of
    the batch in place of drawn ones.
    """

    def __init__(self, layout: Layout, config: BPRConfig) -> None:
        super().__init__(layout, config.task)
        self.config = config

    @property
    def terms(self) -> tuple[str, ...]:
        """One."""
        return (self.task,)

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The weighted mean over positives."""
        user, item = vectors(output)
        positive = self.positives(batch)
        rows, columns = torch.nonzero(positive)[:, 0], torch.arange(len(batch), device=positive.device)
        near = user[rows] @ item.T / self.config.temperature  # [P, B]
        ahead = near.gather(1, rows[:, None]) - near
        against = strangers(batch, rows, columns, positive)
        count = against.sum(1)
        lost = (functional.softplus(-ahead) * against).sum(1) / count.clamp(min=1)
        weight = batch.weight[rows] * (count > 0)
        return {self.task: (lost * weight).sum() / weight.sum().clamp(min=1e-12)}
