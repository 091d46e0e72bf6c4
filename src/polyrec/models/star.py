"""Star topology: every scenario's network is the shared one times its own.

`z' = PartitionedNorm_s(x)`; in each layer `W_s* = W * W_s` (element by element), `b_s* = b + b_s`,
`h = relu(h W_s* + b_s*)`; the last layers have one network for each head. An auxiliary network on
`[scenario embedding, z']` adds `logit = logit_star + logit_aux`. A row of unknown scenario meets the shared
network alone (W_s = 1, b_s = 0).

Source: Sheng et al. 2021, "One Model to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR
Prediction", equations 4 to 10. Heads beyond one, and z' as the auxiliary network's input, are our reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.mlp import MLP
from polyrec.nn.norm import PartitionedNorm
from polyrec.nn.route import Route
from polyrec.nn.routed import StarLinear


@dataclass(frozen=True, slots=True)
class STARConfig(InputOptions):
    """Options of `star`."""

    widths: Widths = (256, 128)  # layers that all heads share
    tower_widths: Widths = (32,)  # layers of each head
    aux_widths: Widths = (64,)
    dropout: Rate = 0.0


@register("star", STARConfig)
class STAR(nn.Module):
    """Partitioned normalisation, star-shaped layers, auxiliary network.

    Hidden: `bottom` [B, H], the last layer that all heads share.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: STARConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scenarios, count = len(layout.scenarios), len(self.heads)
        self.inputs = Inputs(layout, config)
        self.dim = config.dim
        width = self.inputs.width - config.dim
        self.norm = PartitionedNorm(width, self.scenarios)
        shared, own = (width, *config.widths), (*config.tower_widths, 1)
        self.layers = nn.ModuleList(StarLinear(a, b, self.scenarios) for a, b in pairwise(shared))
        self.towers = nn.ModuleList(
            StarLinear(a, b, self.scenarios, heads=count) for a, b in pairwise((shared[-1], *own))
        )
        self.aux = MLP(config.dim + width, config.aux_widths, dropout=config.dropout)
        self.aux_end = nn.Linear(self.aux.width, count)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios, unknown="shared")
        x = self.inputs(batch, route.order)  # [B, W + D]
        features, scenario = torch.split(route.enter(x), [x.shape[1] - self.dim, self.dim], 1)
        bottom = self.norm(features, route)  # [N, W]
        extra = self.aux_end(self.aux(torch.cat([scenario, bottom], 1))).T[..., None]  # [T, N, 1]
        bottom = bottom[None]
        for layer in self.layers:
            bottom = self.dropout(layer(bottom, route, relu=True))  # [1, N, H]
        h = bottom.expand(len(self.heads), -1, -1)
        *towers, end = self.towers
        for layer in towers:
            h = self.dropout(layer(h, route, relu=True))
        h = end(h, route)
        logits = route.restore(route.leave(h + extra))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": route.restore(route.leave(bottom))[0]})
