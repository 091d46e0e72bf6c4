"""A linear model of values and of products of values, beside a network.

`wide_t = sum_f w_tf[id_f] + z u_t + sum_c v_tc[cross_c] + b_t`,  `deep_t = tower_t(MLP(x))`,
`logit_t = wide_t + deep_t`.
A cross c names features; `cross_c` is the one value that stands for all of theirs together, so that the wide part
remembers single combinations. Crosses with more combinations than `buckets` are hashed.

Source: Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems", section 3. Which crosses there are is the
user's to say; the scenario with each feature, unless said otherwise, is our choice. Both parts are trained alike, where
the paper has FTRL with L1 for the wide one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

import torch
from annotated_types import Len
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.errors import ConfigError, unknown
from polyrec.models.fields import Linear
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Whole
from polyrec.nn.sharded import table
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Int, Tensor

Cross = Annotated[tuple[str, ...], Len(2)]


@dataclass(frozen=True, slots=True)
class WideDeepConfig(InputOptions):
    """Options of `widedeep`."""

    widths: Widths = (256, 128)
    tower_widths: Widths = (32,)
    crosses: tuple[Cross, ...] | None = None  # unset: the scenario with each categorical feature
    buckets: Count = 100_003  # of a cross; a prime spreads best
    dropout: Rate = 0.0


@register("widedeep", WideDeepConfig)
class WideDeep(nn.Module):
    """Memory of single values and crosses, beside `pooled`.

    A row of unknown scenario reads the mean of the scenarios' embeddings and weights, and gets nothing from crosses
    with the scenario.
    Hidden: `bottom` [B, H], of the network.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: WideDeepConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        count = len(self.heads)
        self.inputs = Inputs(layout, config)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.towers = Towers(self.bottom.width, config.tower_widths, heads=count, dropout=config.dropout)
        self.wide = Linear(layout, config, heads=count)
        crosses = config.crosses
        if crosses is None:
            crosses = tuple(("scenario", one.name) for one in layout.categorical)
        self.crosses = _Crosses(layout, crosses, config, heads=count) if crosses else None

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        bottom = self.bottom(self.inputs(batch))  # [B, H]
        logits = self.towers(bottom.expand(len(self.heads), -1, -1), Whole()) + self.wide(batch)  # [T, B]
        if self.crosses is not None:
            logits = logits + self.crosses(batch)
        return Output(by_head(self.heads, logits), {"bottom": bottom})


class _Crosses(nn.Module):
    """Weights of combinations of values: one for each combination, or for each bucket of a cross."""

    starts: Int[Tensor, "C"]

    def __init__(self, layout: Layout, crosses: Sequence[Cross], config: WideDeepConfig, *, heads: int) -> None:
        super().__init__()
        sizes = {"scenario": len(layout.scenarios)} | {one.name: one.size for one in layout.categorical}
        for name in (name for cross in crosses for name in cross):
            if name not in sizes:
                raise ConfigError(f"[model] crosses: {unknown('categorical feature', name, sizes, 'of the rows')}")
        place = {one.name: index for index, one in enumerate(layout.categorical)}
        # Of each cross: the column of every part (None: the scenario) and its size, and the rows that it has.
        self.parts = [[(place.get(name), sizes[name]) for name in cross] for cross in crosses]
        self.rows = [min(prod(size for _, size in parts), config.buckets) for parts in self.parts]
        self.names = ["*".join(cross) for cross in crosses]
        starts = torch.tensor([0, *self.rows[:-1]]).cumsum(0)
        self.register_buffer("starts", starts, persistent=False)
        self.table = table(sum(self.rows), heads, sparse=config.tables == "sparse", zero=())

    def forward(self, batch: Batch) -> Float[Tensor, "T B"]:
        places, told = [], []
        scenario = batch.scenario.long()
        for parts, rows in zip(self.parts, self.rows, strict=True):
            key = torch.zeros_like(scenario)
            for column, size in parts:
                value = scenario.clamp(min=0) if column is None else batch.ids[:, column].long()
                key = (key * size + value) % rows  # in steps: no product leaves 64 bits
            places.append(key)
            whole = any(column is None for column, _ in parts)
            told.append(scenario >= 0 if whole else torch.ones_like(scenario, dtype=torch.bool))
        weights = self.table(torch.stack(places, 1) + self.starts)  # [B, C, T]
        kept = torch.stack(told, 1)[..., None].to(weights.dtype)
        y: Tensor = (weights * kept).sum(1)
        return y.T

    def places(self, old: "_Crosses") -> dict[str, Int[Tensor, "R"]]:
        """Where the combinations that `old` knows lie here.

        Raises:
            ConfigError: a cross that is hashed into buckets, of which nobody knows what they hold.
        """
        found, begin = [], 0
        for name, before, parts, had, rows in zip(self.names, old.parts, self.parts, old.rows, self.rows, strict=True):
            if [size for _, size in before] == [size for _, size in parts]:
                found.append(torch.arange(had) + begin)
            elif rows < prod(size for _, size in parts):
                raise ConfigError(
                    f"[model] crosses: {name} has more combinations than buckets = {rows:,}, so that its weights "
                    "cannot be kept while its values grow. Raise buckets, or leave the cross out."
                )
            else:
                key, place, unit, new = torch.arange(had), torch.zeros(had, dtype=torch.int64), 1, 1
                for (_, size), (_, grown) in zip(reversed(before), reversed(parts), strict=True):
                    place += key // unit % size * new
                    unit, new = unit * size, new * grown
                found.append(place + begin)
            begin += rows
        return {"table.weight": torch.cat(found)}
