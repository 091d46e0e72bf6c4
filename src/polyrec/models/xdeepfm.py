"""Products of whole embeddings, layer by layer, beside a linear part and a network.

`logit_t = linear_t + CIN(v) w_t + tower_t(MLP(x))`, v the features' vectors of D numbers, and CIN the compressed
interaction network of `nn.cross`: layer k holds products of k + 1 features. The linear part has a weight for each
value.

Source: Lian et al. 2018, "xDeepFM: Combining Explicit and Implicit Feature Interactions for Recommender Systems",
equations 6 to 9. The sums of all maps of a layer are read and all of them go on, as in the paper. Sizes are ours: the
paper has 100 to 200 maps a layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.fields import Fields, Linear
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.cross import CompressedInteraction
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Whole
from polyrec.nn.tower import Towers


@dataclass(frozen=True, slots=True)
class XDeepFMConfig(InputOptions):
    """Options of `xdeepfm`."""

    widths: Widths = (256, 128)
    tower_widths: Widths = (32,)
    maps: Hidden = (16, 16)  # of each layer of products
    dropout: Rate = 0.0


@register("xdeepfm", XDeepFMConfig)
class XDeepFM(nn.Module):
    """Products of two and more features, beside `pooled`; the scenario is a feature.

    A row of unknown scenario reads the mean of the scenarios' embeddings and weights.
    Hidden: `bottom` [B, H], of the network; `products` [B, sum of maps].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: XDeepFMConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        count = len(self.heads)
        self.inputs = Inputs(layout, config)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.towers = Towers(self.bottom.width, config.tower_widths, heads=count, dropout=config.dropout)
        self.linear = Linear(layout, config, heads=count)
        self.fields = Fields(self.inputs, config.dim)
        self.products = CompressedInteraction(self.fields.count, config.maps)
        self.ends = nn.Linear(self.products.width, count, bias=False)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        x = self.inputs(batch)  # [B, W]
        bottom = self.bottom(x)  # [B, H]
        products = self.products(self.fields(x))
        logits = self.towers(bottom.expand(len(self.heads), -1, -1), Whole())  # [T, B]
        logits = logits + self.linear(batch) + self.ends(products).T
        return Output(by_head(self.heads, logits), {"bottom": bottom, "products": products})
