"""A network of its own for every scenario: tables, bottom and towers, nothing shared.

For scenario s: `x = [features under s's own tables]`, `h = MLP_s(x)`, `logit_st = tower_st(h)`. What training
each scenario alone would give, in one model; the baseline that shows what sharing is worth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.route import Route
from polyrec.nn.routed import RoutedMLP
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class SingleConfig(InputOptions):
    """Options of `single`."""

    widths: Widths = (256, 128)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("single", SingleConfig)
class Single(nn.Module):
    """S networks, each reading the rows of its own scenario.

    A row of unknown scenario gets the mean of all networks' answers for it.
    Hidden: `bottom` [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: SingleConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scenarios = len(layout.scenarios)
        self.inputs = Inputs(layout, config, scenario=False, copies=self.scenarios)
        self.bottom = RoutedMLP(self.inputs.width, config.widths, self.scenarios, dropout=config.dropout)
        self.towers = Towers(
            config.widths[-1] if config.widths else self.inputs.width,
            config.tower_widths,
            heads=len(self.heads),
            scenarios=self.scenarios,
            dropout=config.dropout,
        )

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        bottom = self.bottom(self._entered(batch, route)[None], route)  # [1, N, H]
        logits = self.towers(bottom.expand(len(self.heads), -1, -1), route)  # [T, N]
        logits = route.restore(route.leave(logits[..., None]))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": route.restore(route.leave(bottom))[0]})

    def _entered(self, batch: Batch, route: Route) -> Float[Tensor, "N W"]:
        """Rows as `route.enter` would give them, each read under its own scenario's tables."""
        row, scenario = route.rows()
        if route.order is None:
            every: Tensor = self.inputs(batch.repeat(route.present.shape[0]), copy=scenario)
            return every
        entered: Tensor = self.inputs(batch, row, scenario)
        return entered
