"""A network for each head, and after every layer a learned mixture of all of them.

`h_t = relu(z_t W_t + b_t)`, `z'_t = sum_u a_tu h_u`, layer by layer, `z = x` for all at the start;
`logit_t = z_t v_t + b_t`. a, one matrix a layer, starts at `own` on its diagonal and shares the rest among the others.

Source: Misra et al. 2016, "Cross-stitch Networks for Multi-task Learning", equation 1. A dense layer is one channel
here: a has one number for each two heads, as in the comparison of Ma et al. 2018. The paper learns a with 100 to 1000
times the rate of other weights, under plain gradient descent; here it has theirs, under Adam, and
`[training] lr_ratios` sets another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Hidden, InputOptions, Inputs, Rate
from polyrec.models.registry import register
from polyrec.nn.stacked import StackedLinear
from polyrec.shapes import Tensor


@dataclass(frozen=True, slots=True)
class CrossStitchConfig(InputOptions):
    """Options of `cross_stitch`."""

    tower_widths: Hidden = (128, 64)  # of each head's network
    own: Annotated[float, Ge(0.0), Le(1.0)] = 0.9  # what a head takes from its own layer at the start
    dropout: Rate = 0.0


@register("cross_stitch", CrossStitchConfig)
class CrossStitch(nn.Module):
    """Networks of the heads, stitched together; the scenario is a feature.

    A row of unknown scenario reads the mean of the scenarios' embeddings.
    Hidden: each head's last mixture [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: CrossStitchConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        count = len(self.heads)
        self.inputs = Inputs(layout, config)
        sizes = (self.inputs.width, *config.tower_widths)
        self.layers = nn.ModuleList(StackedLinear(count, a, b) for a, b in pairwise(sizes))
        other = (1.0 - config.own) / max(count - 1, 1)
        start = torch.full((count, count), other) + (config.own - other) * torch.eye(count)
        self.stitches = nn.ParameterList(nn.Parameter(start.clone()) for _ in config.tower_widths)
        self.ends = StackedLinear(count, sizes[-1], 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        z: Tensor = self.inputs(batch)  # [B, W], then [T, B, H]
        for layer, stitch in zip(self.layers, self.stitches, strict=True):
            h = self.dropout(torch.relu(layer(z)))  # [T, B, H]
            z = torch.einsum("tu,ubh->tbh", stitch, h)
        return Output(by_head(self.heads, self.ends(z)[..., 0]), by_head(self.heads, z))
