"""A shared network whose neurons are pruned and scaled by scenario.

In each layer `v_l = MLP_l([scenario embedding, h_l])`, `p_l = threshold(2 sigmoid(alpha v_l))`, where
`threshold(u) = u if u > epsilon, else 0`; `h_{l+1} = relu((h_l * p_l) W_l + b_l)`, `h_0 = x`; `logit_t = tower_t(h_L)`.
alpha rises from `start` to `peak` over the stage, step by step: factors go apart. In training a penalty is added:
    r_l = 1 - mean of p_l over neurons and rows               the sparsity of layer l
    sparsity = mean over l of lambda |r_l - m|^2              where r_l is outside [low, high]; m = (low + high) / 2
lambda = price max(alpha, 1); the factor lambda |r_l - m| has no gradient, so that a layer far off is drawn back harder.

Source: Yang et al. 2022, "AdaSparse: Learning Adaptively Sparse Structures for Multi-Domain Click-Through Rate
Prediction" (its fusion of binarisation and scaling with alpha from 0.1 to 5, its regularisation of sparsity within
bounds, the weight of which grows while training). That alpha sets this growth, a pruner's hidden layer (other code has
one linear layer), heads beyond one, and towers that are not pruned, are our reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.errors import ConfigError
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.gates import GateUnit
from polyrec.nn.route import Whole
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class AdaSparseConfig(InputOptions):
    """Options of `adasparse`."""

    widths: Hidden = (256, 128)
    tower_widths: Widths = (32,)
    pruner_width: Count = 64  # hidden width of a layer's pruner
    epsilon: Annotated[float, Ge(0.0), Lt(1.0)] = 0.25  # factors up to this are 0; factors lie in (0, 2)
    start: Annotated[float, Gt(0.0), Le(1.0)] = 0.1  # alpha at the start of the stage
    peak: Annotated[float, Ge(1.0)] = 5.0  # and at its end
    price: Annotated[float, Ge(0.0)] = 0.01  # lambda, until alpha is above 1; 0: no penalty
    low: Annotated[float, Ge(0.0), Lt(1.0)] = 0.15  # sparsity that costs nothing lies from here ...
    high: Annotated[float, Ge(0.0), Lt(1.0)] = 0.25  # ... to here
    dropout: Rate = 0.0


@register("adasparse", AdaSparseConfig)
class AdaSparse(nn.Module):
    """Shared layers whose inputs are pruned and scaled by scenario and row; a tower for each head.

    A row of unknown scenario is pruned by the mean of the scenarios' embeddings.
    Hidden: `bottom` [B, H], the last shared layer. Penalty, in training: `sparsity`.

    Raises:
        ConfigError: low is above high.
    """

    alpha: Tensor

    def __init__(self, layout: Layout, heads: Sequence[str], config: AdaSparseConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.inputs = Inputs(layout, config)
        if config.low > config.high:
            raise ConfigError(f"[model] of adasparse: low = {config.low} is above high = {config.high}. Swap them.")
        self.dim, self.config = config.dim, config
        self.register_buffer("alpha", torch.tensor(config.start))
        sizes = (self.inputs.width, *config.widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.pruners = nn.ModuleList(GateUnit(config.dim + size, config.pruner_width, size) for size in sizes[:-1])
        self.towers = Towers(sizes[-1], config.tower_widths, heads=len(self.heads), dropout=config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def pace(self, epoch: float, epochs: int) -> None:
        """Set alpha for this moment of the stage."""
        start = self.config.start
        self.alpha.fill_(start + (self.config.peak - start) * epoch / epochs)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        h: Tensor = self.inputs(batch)  # [B, W], the scenario's embedding last
        scenario, priced = h[:, -self.dim :], self.training and self.config.price > 0 and len(batch) > 0
        sparsity = []
        for layer, pruner in zip(self.layers, self.pruners, strict=True):
            factor = pruner(torch.cat([scenario, h], 1), self.alpha)  # [B, H]
            kept = torch.where(factor > self.config.epsilon, factor, torch.zeros_like(factor))
            h = self.dropout(torch.relu(layer(h * kept)))
            if priced:
                sparsity.append(1.0 - kept.mean())
        logits = self.towers(h.expand(len(self.heads), -1, -1), Whole())  # [T, B]
        penalties = {"sparsity": self._price(torch.stack(sparsity))} if priced else {}
        return Output(by_head(self.heads, logits), {"bottom": h}, penalties)

    def _price(self, sparsity: Float[Tensor, "L"]) -> Float[Tensor, ""]:
        low, high = self.config.low, self.config.high
        away = (sparsity - (low + high) / 2).abs() * ((sparsity < low) | (sparsity > high))
        return self.config.price * self.alpha.clamp(min=1.0) * (away.detach() * away).mean()
