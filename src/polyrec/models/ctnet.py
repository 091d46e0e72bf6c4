"""A network for one scenario's rows that is fed by another network's hidden states (CTNet, Liu et al. 2022).

For a row, with layers l of equal widths in both networks:
    g_l = source's hidden state            h_l = own_l(h_{l-1}) + (g_l A_l + a_l) * sigmoid(g_l B_l + b_l)
    logit_t = tower_t(h_L)
The source was trained on every scenario and stands still; own layers start where the target scenario's network was.

Source: Liu et al. 2022, "Continual Transfer Learning for Cross-Domain Click-Through Rate Prediction at Taobao"
(arXiv 2208.05728): frozen source tower, gated linear units as adapters, a target tower that goes on learning. Adapters
after every layer, and the sum, are this project's reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Whole
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class CTNetConfig(InputOptions):
    """Options of `ctnet`."""

    widths: Hidden = (256, 128)  # of both networks
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0
    source: bool = True  # without: the network alone, which is `pooled`


@register("ctnet", CTNetConfig)
class CTNet(nn.Module):
    """`pooled`, and beside it a second network whose hidden states come in through adapters.

    Hidden: `bottom` [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: CTNetConfig) -> None:
        super().__init__()
        self.heads, self.depth = checked(heads), len(config.widths)
        self.inputs = Inputs(layout, config)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.towers = Towers(self.bottom.width, config.tower_widths, heads=len(self.heads), dropout=config.dropout)
        self.source = _Source(layout, config) if config.source else None
        adapters = [nn.Linear(width, 2 * width) for width in config.widths] if config.source else []
        self.adapters = nn.ModuleList(adapters)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        told = self.source(batch) if self.source is not None else None
        x = self.inputs(batch)
        for place, layer in enumerate(_layers(self.bottom, self.depth)):
            x = layer(x)
            if told is not None:
                x = x + functional.glu(self.adapters[place](told[place]), 1)
        logits = self.towers(x.expand(len(self.heads), *x.shape), Whole())  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": x})


class _Source(nn.Module):
    """The other network's hidden states, layer by layer."""

    def __init__(self, layout: Layout, config: CTNetConfig) -> None:
        super().__init__()
        self.depth = len(config.widths)
        self.inputs = Inputs(layout, config)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)

    def forward(self, batch: Batch) -> list[Float[Tensor, "B H"]]:
        x, found = self.inputs(batch), []
        for layer in _layers(self.bottom, self.depth):
            x = layer(x)
            found.append(x)
        return found


def _layers(mlp: MLP, depth: int) -> list[nn.Sequential]:
    """The perceptron's parts by layer: the map, its activation, and dropout where there is any."""
    parts, size = list(mlp.layers), len(mlp.layers) // depth
    return [nn.Sequential(*parts[place * size : (place + 1) * size]) for place in range(depth)]
