"""Personalised gates: the scenario scales the embeddings, user and item scale every layer of every head.

`GateNU(u) = 2 sigmoid(relu(u W + b) W' + b')`.
EPNet: `x' = x * GateNU([scenario embedding, sg(x)])`.
PPNet, for head t and hidden layer l: `h_l = delta_l * relu(h_{l-1} W_l + b_l)`, `h_0 = x'`,
`delta_l = GateNU_l([user and item embeddings, sg(x')])`; `logit_t = h_L w + b`. sg stops the gradient.

Source: Chang et al. 2023, "PEPNet: Parameter and Embedding Personalized Network for Infusing with Personalized
Prior Information", equations 1 to 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.gates import GateUnit
from polyrec.nn.stacked import StackedLinear
from polyrec.shapes import Tensor


@dataclass(frozen=True, slots=True)
class PEPNetConfig(InputOptions):
    """Options of `pepnet`."""

    widths: Widths = (128, 64)  # of each head's network
    gate_width: Count = 64  # hidden width of a gate
    prior: tuple[str, ...] = ()  # features that PPNet reads; empty: the largest vocabulary of users and of items
    dropout: Rate = 0.0


@register("pepnet", PEPNetConfig)
class PEPNet(nn.Module):
    """One network a head, gated by scenario, user and item.

    A row of unknown scenario is gated by the mean of the scenarios' embeddings.
    Hidden: `bottom` [B, W], the gated embeddings, and each head's last layer [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: PEPNetConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.inputs = Inputs(layout, config)
        self.dim, width = config.dim, self.inputs.width - config.dim
        self.prior = self.inputs.columns(names=config.prior or _identities(layout))
        self.embedding_gate = GateUnit(self.inputs.width, config.gate_width, width)
        sizes, count = (width, *config.widths), len(self.heads)
        self.layers = nn.ModuleList(StackedLinear(count, a, b) for a, b in pairwise(sizes))
        self.gates = nn.ModuleList(
            GateUnit(len(self.prior) + width, config.gate_width, count * size) for size in config.widths
        )
        self.end = StackedLinear(count, sizes[-1], 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        every = self.inputs(batch)  # [B, W + D], the scenario's embedding last
        x, scenario = every[:, : -self.dim], every[:, -self.dim :]
        bottom = x * self.embedding_gate(torch.cat([scenario, x.detach()], 1))  # [B, W]
        prior = torch.cat([every[:, self.prior], bottom.detach()], 1)
        h: Tensor = bottom
        for layer, gate in zip(self.layers, self.gates, strict=True):
            delta = torch.unflatten(gate(prior), 1, (len(self.heads), -1)).transpose(0, 1)  # [T, B, H]
            h = self.dropout(delta * torch.relu(layer(h)))
        logits = self.end(h)[..., 0]  # [T, B]
        hidden = by_head(self.heads, h) if self.layers else {}
        return Output(by_head(self.heads, logits), {"bottom": bottom, **hidden})


def _identities(layout: Layout) -> list[str]:
    """The features that tell users and items apart best: the largest vocabulary of each side."""
    names = []
    for side in ("user", "item"):
        fields = [one for one in layout.categorical if one.side == side]
        if fields:
            names.append(max(fields, key=lambda one: one.size).name)
    return names
