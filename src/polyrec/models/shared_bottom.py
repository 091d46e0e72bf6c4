"""One shared network below, a tower of its own for each scenario x head.

`h = MLP(x)` for all rows, scenario as a feature; `logit_st = tower_st(h)`.

Source: Caruana 1997, "Multitask Learning" (hard parameter sharing).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Route, Whole
from polyrec.nn.tower import Per, Towers


@dataclass(frozen=True, slots=True)
class SharedBottomConfig(InputOptions):
    """Options of `shared_bottom`."""

    widths: Widths = (256, 128)
    tower_widths: Widths = (32,)
    towers: Per = "cell"  # a tower for each scenario x head, or for each head
    dropout: Rate = 0.0


@register("shared_bottom", SharedBottomConfig)
class SharedBottom(nn.Module):
    """A shared multi-layer perceptron, towers by scenario and head.

    A row of unknown scenario reads the mean of the scenarios' embeddings, and from parts that belong to a scenario
    gets the mean of their answers.
    Hidden: `bottom` [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: SharedBottomConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scenarios = len(layout.scenarios) if config.towers == "cell" else None
        self.inputs = Inputs(layout, config)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.towers = Towers(
            self.bottom.width,
            config.tower_widths,
            heads=len(self.heads),
            scenarios=self.scenarios,
            dropout=config.dropout,
        )

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios) if self.scenarios else Whole()
        bottom = self.bottom(self.inputs(batch, route.order))  # [B, H]
        logits = self.towers(route.enter(bottom).expand(len(self.heads), -1, -1), route)  # [T, N]
        logits = route.restore(route.leave(logits[..., None]))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": route.restore(bottom[None])[0]})
