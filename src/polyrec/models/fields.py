"""What models of feature interaction read beside x: every feature as one vector, and a linear part by value."""

from dataclasses import replace
from itertools import groupby

import torch
from torch import nn

from polyrec.batch import Batch, Field, Layout
from polyrec.models.inputs import InputOptions, Inputs
from polyrec.nn.table import INIT_STD
from polyrec.shapes import Float, Tensor


class Fields(nn.Module):
    """Every feature as a vector of D numbers: a model's `x` in, `[B, F, D]` out.

    An embedding of width D stands as it is. A number z becomes `z v`, a vector or an embedding of another width `z V`,
    with learned v and V and no bias.

    Args:
        inputs: the model's.
        dim: D.

    Example:
        >>> from polyrec.testing import example_layout, random_batch
        >>> inputs = Inputs(example_layout(), InputOptions(dim=4))
        >>> Fields(inputs, 4)(inputs(random_batch(inputs.layout, 5))).shape
        torch.Size([5, 11, 4])
    """

    def __init__(self, inputs: Inputs, dim: int) -> None:
        super().__init__()
        self.count = len(inputs.parts)
        self.runs: list[tuple[int, int, bool]] = []  # features side by side of one width, and whether they are mapped
        self.maps = nn.ParameterList()
        for (raw, width), run in groupby(inputs.parts, lambda one: (one[0] in inputs.raw, one[1])):
            count, mapped = len(list(run)), raw or width != dim
            self.runs.append((count, width, mapped))
            if mapped:
                spread = INIT_STD if raw else width**-0.5
                self.maps.append(nn.Parameter(torch.randn(count, width, dim) * spread))

    def forward(self, x: Float[Tensor, "B W"]) -> Float[Tensor, "B F D"]:
        """One vector a feature, in the order of `Inputs.parts`."""
        maps, found = iter(self.maps), []
        parts = torch.split(x, [count * width for count, width, _ in self.runs], 1)
        for part, (count, width, mapped) in zip(parts, self.runs, strict=True):
            one = torch.unflatten(part, 1, (count, width))  # [B, F, I]
            found.append(torch.einsum("bfi,fid->bfd", one, next(maps)) if mapped else one)
        return torch.cat(found, 1)


class Linear(nn.Module):
    """A linear model of every value: `y_t = sum_f w_tf[id_f] + z u_t + b_t`, z the numbers and vectors.

    A sequence adds the mean of its values' weights; the scenario is one more feature, and an unknown one adds the mean
    of the scenarios' weights. Weights are read as embeddings of width T, each feature from a table of its own.

    Example:
        >>> from polyrec.testing import example_layout, random_batch
        >>> linear = Linear(example_layout(), InputOptions(), heads=2)
        >>> linear(random_batch(example_layout(), 5)).shape
        torch.Size([2, 5])
    """

    def __init__(self, layout: Layout, options: InputOptions, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = Inputs(_alone(layout), InputOptions(dim=heads, tables=options.tables))
        self.ids = heads * (len(layout.categorical) + len(layout.sequences))
        count = self.inputs.width - self.ids - heads
        self.numbers = nn.Linear(count, heads, bias=False) if count else None
        self.bias = nn.Parameter(torch.zeros(heads))

    def forward(self, batch: Batch) -> Float[Tensor, "T B"]:
        """One number a row and head."""
        x = self.inputs(batch)
        sizes = [self.ids, self.inputs.width - self.ids - self.heads, self.heads]
        ids, numbers, scenario = torch.split(x, sizes, 1)
        y: Tensor = scenario + self.bias  # [B, T]
        if self.numbers is not None:
            y = y + self.numbers(numbers)
        if self.ids:
            y = y + torch.unflatten(ids, 1, (-1, self.heads)).sum(1)
        return y.T


def _alone(layout: Layout) -> Layout:
    """The layout with every feature in a table of its own, of the width that all have."""

    def bare(fields: tuple[Field, ...]) -> tuple[Field, ...]:
        return tuple(replace(one, dim=None, table=None) for one in fields)

    return replace(layout, categorical=bare(layout.categorical), sequences=bare(layout.sequences))
