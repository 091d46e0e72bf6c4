"""Features that attend to one another, under weights that the scenario makes.

`y_0` are the features of a row as vectors of `dim` numbers each (`fields.Fields`), the scenario one of them;
`e = relu(scenario encoding A + a)`, the encoding an embedding apart from the features'; `y_l` comes from y_{l-1} by
self-attention whose queries and keys pass through a network made from e (`nn.attention.AdaptiveAttention`);
`logit_t = tower_t(y_L flattened)`.

Source: Min et al. 2023, "Scenario-Adaptive Feature Interaction for Click-Through Rate Prediction" (SATrans: independent
scenario encoder, MetaNet on queries and keys), compared with its authors' code. What MetaNet is made from is brought
down to `meta_width` numbers, its made layers have biases, numbers and vectors are features with a vector of their own,
and heads beyond one, with towers, are ours. Encodings by position and layer (the paper's ENP) are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.fields import Fields
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, InputOptions, Inputs, Rate, Widths, by_scenario
from polyrec.models.registry import register
from polyrec.nn.attention import AdaptiveAttention
from polyrec.nn.route import Whole
from polyrec.nn.table import INIT_STD
from polyrec.nn.tower import Towers


@dataclass(frozen=True, slots=True)
class SATransConfig(InputOptions):
    """Options of `satrans`."""

    layers: Count = 2  # the paper's best: 3
    attention_heads: Count = 2  # must divide `dim`
    meta_width: Count = 8  # numbers that stand for a scenario where weights are made
    meta_hidden: Count = 32  # hidden width of the made network
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("satrans", SATransConfig)
class SATrans(nn.Module):
    """Layers of self-attention over features, adapted by scenario; a tower for each head.

    A row of unknown scenario reads the mean of the scenarios' embeddings and encodings.
    Hidden: `bottom` [B, F*D], the features after the last layer.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: SATransConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.inputs = Inputs(layout, config)
        self.fields = Fields(self.inputs, config.dim)
        self.encoding = nn.Parameter(torch.randn(len(layout.scenarios), config.dim) * INIT_STD)
        self.encoder = nn.Linear(config.dim, config.meta_width)
        self.layers = nn.ModuleList(
            AdaptiveAttention(
                config.dim,
                config.meta_width,
                heads=config.attention_heads,
                hidden=config.meta_hidden,
                dropout=config.dropout,
            )
            for _ in range(config.layers)
        )
        width = self.fields.count * config.dim
        self.towers = Towers(width, config.tower_widths, heads=len(self.heads), dropout=config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        y = self.fields(self.inputs(batch))  # [B, F, D]
        made = torch.relu(self.encoder(by_scenario(self.encoding, batch.scenario)))  # [B, V]
        for layer in self.layers:
            y = layer(y, made)
        bottom = y.flatten(1)  # [B, F*D]
        logits = self.towers(bottom.expand(len(self.heads), -1, -1), Whole())  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": bottom})
