"""A network of all scenarios that an adversary keeps from telling them apart, beside one of each scenario's own.

For a row of scenario s with features x (the scenario is no feature):
    g = MLP(x),  p = MLP_s(x),  logit_t = tower_st([p, g])
Two penalties are added to the loss in training, whatever the objective is:
    adversary   w_a * mean over rows of -log softmax(R(g) D + d)_s      R turns the gradient's sign
    difference  w_d * sum over scenarios of (n_s / n) || sum_b g_b p_b^T / n_s ||_F^2
D learns to name the scenario from g and g to hide it; the second keeps g and p from holding the same.

Source: Liu, Qiu and Huang 2017, "Adversarial Multi-task Learning for Text Classification" (shared-private model,
equations 5 to 14), with scenarios as its tasks and perceptrons in place of LSTMs. Means over rows in the difference,
so that the batch's size does not decide what it weighs, and towers with hidden layers are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.mlp import MLP
from polyrec.nn.reversal import reversal
from polyrec.nn.route import Route
from polyrec.nn.routed import RoutedMLP
from polyrec.nn.stacked import StackedLinear
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Tensor

Weight = Annotated[float, Ge(0.0)]


@dataclass(frozen=True, slots=True)
class AdvLossConfig(InputOptions):
    """Options of `advloss`."""

    widths: Hidden = (128, 64)  # of the shared network and of each scenario's
    tower_widths: Widths = (32,)
    adversary: Weight = 0.05  # w_a; 0: no adversary
    difference: Weight = 0.01  # w_d
    dropout: Rate = 0.0


@register("advloss", AdvLossConfig)
class AdvLoss(nn.Module):
    """Shared and private networks, towers by scenario and head, and an adversary in training.

    A row of unknown scenario gets the mean of the scenarios' answers, and takes no part in the penalties.
    Hidden: `shared` [B, H]. Penalties, in training: `adversary`, `difference`.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: AdvLossConfig) -> None:
        super().__init__()
        self.heads, self.scenarios, self.config = checked(heads), len(layout.scenarios), config
        self.inputs = Inputs(layout, config, scenario=False)
        width = config.widths[-1]
        self.shared = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.own = RoutedMLP(self.inputs.width, config.widths, self.scenarios, dropout=config.dropout)
        self.towers = Towers(
            2 * width, config.tower_widths, heads=len(self.heads), scenarios=self.scenarios, dropout=config.dropout
        )
        # One map of all rows to S numbers: none of them belongs to the rows of one scenario.
        self.adversary = StackedLinear(1, width, self.scenarios) if config.adversary else None

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        x = self.inputs(batch, route.order)  # [B, W]
        common = self.shared(x)  # [B, H]
        shared, own = route.enter(common), self.own(route.enter(x)[None], route)[0]  # [N, H]
        both = torch.cat([own, shared], 1).expand(len(self.heads), -1, -1)
        logits = route.restore(route.leave(self.towers(both, route)[..., None]))[..., 0]  # [T, B]
        penalties = self._penalties(shared, own, route) if self.training else {}
        return Output(by_head(self.heads, logits), {"shared": route.restore(common[None])[0]}, penalties)

    def _penalties(self, shared: Float[Tensor, "N H"], own: Float[Tensor, "N H"], route: Route) -> dict[str, Tensor]:
        """What is added to the loss, from rows of known scenario; 0 where there is none."""
        sizes = shared.new_tensor(route.sizes)  # [P]
        known = sum(route.sizes)
        found = {}
        if self.adversary is not None:
            guess = self.adversary(reversal(shared[:known]))[0]  # [n, S]
            missed = functional.cross_entropy(guess, route.present[route.group[:known]], reduction="sum")
            found["adversary"] = self.config.adversary * missed / max(known, 1)
        if self.config.difference:
            overlap = (route.products(shared, own) / sizes[:, None, None]).square().sum((1, 2))  # [P]
            found["difference"] = self.config.difference * (overlap * sizes).sum() / max(known, 1)
        return found
