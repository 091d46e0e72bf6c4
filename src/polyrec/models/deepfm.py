"""A factorisation machine beside a network on the same embeddings.

`logit_t = linear_t + c_t . sum_{i<j} (v_i * v_j) + tower_t(MLP(x))`, v_i the D numbers of feature i. With one head and
`c = 1` the middle term is the paper's sum of inner products; c_t, which starts at 1, is our reading for several heads,
which would else all get the same number from it. The linear part has a weight for each value.

Source: Guo et al. 2017, "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", equations 1 to 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.fields import Fields, Linear
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Whole
from polyrec.nn.tower import Towers


@dataclass(frozen=True, slots=True)
class DeepFMConfig(InputOptions):
    """Options of `deepfm`."""

    widths: Widths = (256, 128)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("deepfm", DeepFMConfig)
class DeepFM(nn.Module):
    """Products of every two features, beside `pooled`; the scenario is a feature.

    A row of unknown scenario reads the mean of the scenarios' embeddings and weights.
    Hidden: `bottom` [B, H], of the network.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: DeepFMConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        count = len(self.heads)
        self.inputs = Inputs(layout, config)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.towers = Towers(self.bottom.width, config.tower_widths, heads=count, dropout=config.dropout)
        self.linear = Linear(layout, config, heads=count)
        self.fields = Fields(self.inputs, config.dim)
        self.factors = nn.Parameter(torch.ones(count, config.dim))  # c

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        x = self.inputs(batch)  # [B, W]
        bottom = self.bottom(x)  # [B, H]
        fields = self.fields(x)  # [B, F, D]
        pairs = (fields.sum(1).square() - fields.square().sum(1)) / 2  # [B, D]: the sum over i < j
        logits = self.towers(bottom.expand(len(self.heads), -1, -1), Whole())  # [T, B]
        logits = logits + self.linear(batch) + (pairs @ self.factors.T).T
        return Output(by_head(self.heads, logits), {"bottom": bottom})
