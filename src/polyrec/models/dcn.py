"""Cross layers, which multiply features with one another, beside a network or below it.

`x_{l+1} = x_0 * (x_l W_l + b_l) + x_l`, `x_0 = x`; L layers hold products of up to L + 1 features.
    "parallel":  logit_t = x_L u_t + tower_t(MLP(x))
    "stacked":   logit_t = tower_t(MLP(x_L))
With `rank`, `W_l = U_l V_l` of that rank.

Source: Wang et al. 2021, "DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank
Systems", equations 1 to 3. The mixture of low-rank maps (its equation 5) is not here. A tower a head is our reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.cross import CrossLayer
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Whole
from polyrec.nn.tower import Towers
from polyrec.shapes import Tensor


@dataclass(frozen=True, slots=True)
class DCNConfig(InputOptions):
    """Options of `dcn`."""

    layers: Count = 3  # L, of products
    rank: Count | None = None  # of their maps; unset: full
    structure: Literal["parallel", "stacked"] = "parallel"
    widths: Widths = (256, 128)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("dcn", DCNConfig)
class DCN(nn.Module):
    """Cross layers and a network; the scenario is a feature.

    A row of unknown scenario reads the mean of the scenarios' embeddings.
    Hidden: `cross` [B, W], the last cross layer; `bottom` [B, H], of the network.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: DCNConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        count = len(self.heads)
        self.inputs = Inputs(layout, config)
        width = self.inputs.width
        self.layers = nn.ModuleList(CrossLayer(width, rank=config.rank) for _ in range(config.layers))
        self.bottom = MLP(width, config.widths, dropout=config.dropout)
        self.towers = Towers(self.bottom.width, config.tower_widths, heads=count, dropout=config.dropout)
        self.ends = nn.Linear(width, count, bias=False) if config.structure == "parallel" else None

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        x: Tensor = self.inputs(batch)  # [B, W]
        cross = x
        for layer in self.layers:
            cross = layer(x, cross)
        bottom = self.bottom(cross if self.ends is None else x)  # [B, H]
        logits = self.towers(bottom.expand(len(self.heads), -1, -1), Whole())  # [T, B]
        if self.ends is not None:
            logits = logits + self.ends(cross).T
        return Output(by_head(self.heads, logits), {"cross": cross, "bottom": bottom})
