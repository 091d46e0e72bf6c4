"""One network for all scenarios, with the scenario as a feature.

`x = [features, scenario embedding]`, `h = MLP(x)`, `logit_t = tower_t(h)`. The plain baseline that every
multi-scenario method has to beat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Whole
from polyrec.nn.tower import Towers


@dataclass(frozen=True, slots=True)
class PooledConfig(InputOptions):
    """Options of `pooled`."""

    widths: Widths = (256, 128)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("pooled", PooledConfig)
class Pooled(nn.Module):
    """A multi-layer perceptron that all rows share, and one tower a head.

    Hidden: `bottom` [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: PooledConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.inputs = Inputs(layout, config)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.towers = Towers(self.bottom.width, config.tower_widths, heads=len(self.heads), dropout=config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        bottom = self.bottom(self.inputs(batch))  # [B, H]
        logits = self.towers(bottom.expand(len(self.heads), *bottom.shape), Whole())  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": bottom})
