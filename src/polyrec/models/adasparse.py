"""A shared network whose neurons are pruned and scaled by scenario.

In each layer `v_l = MLP_l([scenario embedding, h_l])`, `p_l = threshold(2 sigmoid(v_l))`, where
`threshold(u) = u if u > epsilon, else 0`; `h_{l+1} = relu((h_l * p_l) W_l + b_l)`, `h_0 = x`; `logit_t = tower_t(h_L)`.

Source: Yang et al. 2022, "AdaSparse: Learning Adaptively Sparse Structures for Multi-Domain Click-Through Rate
Prediction" (its fusion of binarisation and scaling). The sigmoid's temperature is 1 here, where the paper raises it
while training, and its penalty on the share of kept neurons is left out. Heads beyond one, and towers that are not
pruned, are our reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Lt
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.gates import GateUnit
from polyrec.nn.route import Whole
from polyrec.nn.tower import Towers
from polyrec.shapes import Tensor


@dataclass(frozen=True, slots=True)
class AdaSparseConfig(InputOptions):
    """Options of `adasparse`."""

    widths: Hidden = (256, 128)
    tower_widths: Widths = (32,)
    pruner_width: Count = 64  # hidden width of a layer's pruner
    epsilon: Annotated[float, Ge(0.0), Lt(1.0)] = 0.25  # factors up to this are 0; factors lie in (0, 2)
    dropout: Rate = 0.0


@register("adasparse", AdaSparseConfig)
class AdaSparse(nn.Module):
    """Shared layers whose inputs are pruned and scaled by scenario and row; a tower for each head.

    A row of unknown scenario is pruned by the mean of the scenarios' embeddings.
    Hidden: `bottom` [B, H], the last shared layer.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: AdaSparseConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.inputs = Inputs(layout, config)
        self.dim, self.epsilon = config.dim, config.epsilon
        sizes = (self.inputs.width, *config.widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.pruners = nn.ModuleList(GateUnit(config.dim + size, config.pruner_width, size) for size in sizes[:-1])
        self.towers = Towers(sizes[-1], config.tower_widths, heads=len(self.heads), dropout=config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        h: Tensor = self.inputs(batch)  # [B, W], the scenario's embedding last
        scenario = h[:, -self.dim :]
        for layer, pruner in zip(self.layers, self.pruners, strict=True):
            factor = pruner(torch.cat([scenario, h], 1))  # [B, H]
            kept = torch.where(factor > self.epsilon, factor, torch.zeros_like(factor))
            h = self.dropout(torch.relu(layer(h * kept)))
        logits = self.towers(h.expand(len(self.heads), -1, -1), Whole())  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": h})
