"""Which flows a row prunes: gates from a network of its own, or one a scenario, head and flow."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from polyrec.nn.mlp import MLP
from polyrec.shapes import Float, Int, Tensor


class RowSelector(nn.Module):
    """`w_t = MLP(x) V_t + c_t`: a number for each row, head and flow, which is pruned where it is positive.

    Example:
        >>> RowSelector(8, (16,), heads=2, flows=4)(torch.rand(5, 8)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(self, width_in: int, widths: Sequence[int], *, heads: int, flows: int) -> None:
        super().__init__()
        self.hidden = MLP(width_in, widths)
        self.end = nn.Linear(self.hidden.width, heads * flows)
        self.shape = (heads, flows)

    def forward(self, x: Float[Tensor, "B I"]) -> Float[Tensor, "T B J"]:
        """Rows of numbers in, w out."""
        return torch.unflatten(self.end(self.hidden(x)), 1, self.shape).transpose(0, 1)


class CellSelector(nn.Module):
    """`w_t` of the row's scenario, a table `[S, T, J]`; for a row of unknown scenario the mean of all.

    Example:
        >>> CellSelector(3, heads=2, flows=4)(torch.tensor([0, -1])).shape
        torch.Size([2, 2, 4])
    """

    def __init__(self, scenarios: int, *, heads: int, flows: int, spread: float = 0.01) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(scenarios, heads, flows) * spread)

    def forward(self, scenario: Int[Tensor, "B"]) -> Float[Tensor, "T B J"]:
        """Scenarios in, w out."""
        rows = self.weight[scenario.clamp(min=0).long()]  # [B, T, J]
        return torch.where((scenario < 0)[:, None, None], self.weight.mean(0), rows).transpose(0, 1)


class Pruning(nn.Module):
    """Gates from w: 1 prunes.

    Formula:
        soft: `g = sigmoid(tau w)` · hard: `g = 1[w > 0]` · straight: the value of hard, the gradient of soft
        with `keep_one`, the flow of least w is never pruned by hard and straight gates
        `tau = peak ^ done`; done goes from 0 to 1 over the stage, from epoch to epoch (`e / (epochs - 1)`) or step
        by step. With `wait`, gates stand still for that share of the stage, and done goes from 0 to 1 over the rest.

    Example:
        >>> pruning = Pruning("soft", peak=100.0)
        >>> pruning.pace(9.5, 10)
        >>> round(float(pruning.temperature)), pruning(torch.tensor([-2.0, 0.0, 2.0])).tolist()
        (100, [0.0, 0.5, 1.0])
    """

    temperature: Tensor

    def __init__(
        self,
        kind: Literal["soft", "hard", "straight"],
        *,
        peak: float,
        anneal: Literal["epoch", "step"] = "epoch",
        keep_one: bool = False,
        wait: float = 0.0,
    ) -> None:
        super().__init__()
        self.keep_one, self.wait, self.still = keep_one, wait, False
        self.kind, self.peak, self.anneal = kind, peak, anneal
        self.register_buffer("temperature", torch.ones(()))

    def pace(self, epoch: float, epochs: int) -> None:
        """Set the temperature for this moment of the stage."""
        if self.kind == "hard":
            return
        by_epoch = self.anneal == "epoch" and epochs > 1
        passed = int(epoch) / (epochs - 1) if by_epoch else epoch / epochs
        self.still = passed < self.wait
        self.temperature.fill_(self.peak ** max(0.0, (passed - self.wait) / (1.0 - self.wait)))

    def forward(self, w: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """A gate for each number."""
        if self.kind == "hard":
            return self._hard(w)
        soft = torch.sigmoid(self.temperature * (w.detach() if self.still else w))
        return soft if self.kind == "soft" else self._hard(w) + soft - soft.detach()

    def _hard(self, w: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        pruned = w > 0
        return (pruned & (w > w.amin(-1, keepdim=True)) if self.keep_one else pruned).to(w.dtype)
