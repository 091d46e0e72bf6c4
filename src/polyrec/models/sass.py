"""Scenario-adaptive towers: in every layer the scenario's network takes what it needs from that of all scenarios.

Each tower has a global network that all rows feed, a network of each scenario, and between them at every layer a
multi-layer scenario-adaptive transfer (ML-SAT, `nn.adaptive`), so a starved scenario lives off the global network
and a rich one off its own. A bias network reads scenario and context. An item too has a vector per scenario.

`y = normalize(Wo [h~_L; bias_net(e_s, context)])`, D numbers; `logit = a <y_user, y_item> + b`.

Source: Zhang et al., CIKM 2022, "Scenario-Adaptive and Self-Supervised Model for Multi-Scenario Personalized
Recommendation". Its structure is the paper's; every formula is our reconstruction, since its own were not
available to us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.models.towers import Ends, Sides, unit
from polyrec.nn.adaptive import AdaptiveTransfer
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Route
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class SASSConfig(InputOptions):
    """Options of `sass`; `adaptive`, `update`, `gates` and `towers` switch parts off."""

    widths: Hidden = (256, 128)
    vector: Count = 64  # D, width of what the towers answer
    bias_widths: Widths = (32,)
    adaptive: bool = True  # the gate that selects from the global network
    update: bool = True  # the gate that fuses into the scenario's
    gates: Literal["every", "top"] = "every"  # layers that transfer
    towers: Literal["both", "user"] = "both"  # that have networks of scenarios; the other is a plain network
    dropout: Rate = 0.0


class AdaptiveTower(nn.Module):
    """One tower: features, scenario embedding and context in, a vector of length 1 out."""

    def __init__(self, width: int, context: int, scenarios: int, config: SASSConfig, *, plain: bool = False) -> None:
        super().__init__()
        sizes = list(pairwise((width, *config.widths)))
        self.plain = MLP(width, config.widths, dropout=config.dropout) if plain else None
        self.layers = nn.ModuleList(
            AdaptiveTransfer(
                before,
                after,
                scenarios,
                embedding=config.dim,
                transfer=config.gates == "every" or place == len(sizes) - 1,
                adaptive=config.adaptive,
                update=config.update,
            )
            for place, (before, after) in enumerate(sizes if not plain else [])
        )
        self.dropout = nn.Dropout(config.dropout)
        self.bias = MLP(config.dim + context, config.bias_widths)
        self.end = nn.Linear(config.widths[-1] + self.bias.width, config.vector)

    def forward(
        self, x: Float[Tensor, "B I"], scenario: Float[Tensor, "B D"], context: Float[Tensor, "B C"], route: Route
    ) -> Float[Tensor, "B O"]:
        """The vector of each row, in the order of the batch; rows come in that of the route."""
        if self.plain is None:
            shared = own = route.enter(x)
            entered = route.enter(scenario)
            for layer in self.layers:
                shared, own = (self.dropout(one) for one in layer(shared, own, entered, route))
            top = route.leave(own[None])[0]
        else:
            top = self.plain(x)
        bias = self.bias(torch.cat([scenario, context], 1))
        return unit(route.restore(self.end(torch.cat([top, bias], 1))[None])[0])


@register("sass", SASSConfig)
class SASS(nn.Module):
    """Two scenario-adaptive towers.

    Hidden: `user` [B, D], `item` [B, D], of length 1.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: SASSConfig) -> None:
        super().__init__()
        self.scenarios, self.dim = len(layout.scenarios), config.dim
        self.inputs = Inputs(layout, config)
        self.sides = Sides(self.inputs, scenario=False)
        self.users = AdaptiveTower(len(self.sides.user), len(self.sides.context), self.scenarios, config)
        plain = config.towers == "user"
        self.items = AdaptiveTower(len(self.sides.item), 0, self.scenarios, config, plain=plain)
        self.ends = Ends(heads)

    def forward(self, batch: Batch) -> Output:
        """Both vectors, and a logit a head from their inner product."""
        x, route = self._read(batch)
        answer: Output = self.ends(self._user(x, route), self._item(x, route))
        return answer

    def user(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The user vector of each row, under its scenario."""
        return self._user(*self._read(batch))

    def item(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The item vector of each row, under its scenario."""
        return self._item(*self._read(batch))

    def _read(self, batch: Batch) -> tuple[Float[Tensor, "B W"], Route]:
        route = Route(batch.scenario, self.scenarios)
        return self.inputs(batch, route.order), route

    def _user(self, x: Tensor, route: Route) -> Tensor:
        context = self.sides.read(x, self.sides.context)
        answer: Tensor = self.users(self.sides.read(x, self.sides.user), x[:, -self.dim :], context, route)
        return answer

    def _item(self, x: Tensor, route: Route) -> Tensor:
        answer: Tensor = self.items(self.sides.read(x, self.sides.item), x[:, -self.dim :], x[:, :0], route)
        return answer
