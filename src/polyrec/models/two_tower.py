"""Two towers: a network on user and context, one on the item, and the inner product of what they answer.

`y_u = normalize(MLP_u(user, context features))`, `y_i = normalize(MLP_i(item features))`, `logit = a <y_u, y_i> + b`.
The scenario is not read (`"ignored"`), one more feature of both towers (`"feature"`), or the owner of tables and
networks (`"own"`: what training each scenario alone would give).

Source: Huang et al. 2013, "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data" (DSSM);
vectors of length 1 as in its cosine. With a behaviour sequence among the user's features, averaged, the user tower
is that of Covington et al. 2016, "Deep Neural Networks for YouTube Recommendations"; `item_widths = []` gives its
item side too: a linear map of the item's embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.inputs import Count, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.models.towers import Ends, Sides, unit
from polyrec.nn.route import Route
from polyrec.nn.routed import RoutedMLP
from polyrec.shapes import Float, Int, Tensor


@dataclass(frozen=True, slots=True)
class TwoTowerConfig(InputOptions):
    """Options of `two_tower`."""

    widths: Widths = (256, 128)
    item_widths: Widths | None = None  # of the item tower; those of the user tower where not set
    vector: Count = 64  # D, width of what the towers answer
    scenario: Literal["ignored", "feature", "own"] = "feature"
    dropout: Rate = 0.0


@register("two_tower", TwoTowerConfig)
class TwoTower(nn.Module):
    """A user tower and an item tower.

    Hidden: `user` [B, D], `item` [B, D], of length 1.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: TwoTowerConfig) -> None:
        super().__init__()
        self.own = config.scenario == "own"
        self.copies = len(layout.scenarios) if self.own else 1
        feature = config.scenario == "feature"
        self.inputs = Inputs(layout, config, scenario=feature, copies=self.copies)
        self.sides = Sides(self.inputs, scenario=feature)
        item = config.widths if config.item_widths is None else config.item_widths
        self.users = self._tower(len(self.sides.user), config.widths, config)
        self.items = self._tower(len(self.sides.item), item, config)
        self.ends = Ends(heads)

    def _tower(self, width: int, widths: Widths, config: TwoTowerConfig) -> RoutedMLP:
        ends = (*widths, config.vector)
        return RoutedMLP(width, ends, self.copies, dropout=config.dropout, linear_end=True)

    def forward(self, batch: Batch) -> Output:
        """Both vectors, and a logit a head from their inner product."""
        x, route = self._entered(batch)
        answer: Output = self.ends(self._vector(self.users, x, self.sides.user, route), self._items(x, route))
        return answer

    def user(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The user vector of each row."""
        x, route = self._entered(batch)
        return self._vector(self.users, x, self.sides.user, route)

    def item(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The item vector of each row."""
        return self._items(*self._entered(batch))

    def adopt(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of the same model with one network for all: every scenario begins with a copy of it."""
        mine = self.state_dict()
        return {name: _copied(one, mine[name]) if name in mine else one for name, one in weights.items()}

    def _items(self, x: Tensor, route: Route) -> Tensor:
        return self._vector(self.items, x, self.sides.item, route)

    def _entered(self, batch: Batch) -> tuple[Float[Tensor, "N W"], Route]:
        """Rows as `route.enter` gives them, each read under the tables that it belongs to."""
        if not self.own:
            route = Route(torch.zeros_like(batch.scenario), 1)
            return route.enter(self.inputs(batch, route.order)), route
        route = Route(batch.scenario, self.copies)
        row, scenario = route.rows()
        if route.order is None:
            return self.inputs(batch.repeat(route.present.shape[0]), copy=scenario), route
        return self.inputs(batch, row, scenario), route

    def _vector(self, tower: RoutedMLP, x: Tensor, columns: Int[Tensor, "I"], route: Route) -> Float[Tensor, "B D"]:
        y = tower(self.sides.read(x, columns)[None], route)  # [1, N, D]
        return unit(route.restore(route.leave(y))[0])


def _copied(one: Tensor, mine: Tensor) -> Tensor:
    """One copy in the place of each of mine; the tensor itself where the shapes do not call for copies."""
    if one.shape == mine.shape or one.shape[1:] != mine.shape[1:] or mine.shape[0] % one.shape[0]:
        return one
    return one.repeat(mine.shape[0] // one.shape[0], *(1 for _ in mine.shape[1:]))
