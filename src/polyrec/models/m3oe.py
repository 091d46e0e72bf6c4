"""Three mixtures of experts: of what is common, of scenarios, of tasks; two levels of learned weights fuse them.

For a row of scenario s and head t:
    z    = relu(LN(u A + a)) + relu(LN(x R + r)),  u = x (W * W_s) + b + b_s           scenarios' inputs made alike
    c_st = sum_e softmax(sg(z) G_st + d_st)_e h_e(z)                                    common experts
    m_s  = alpha p_s(z) + (1 - alpha) mean over the other scenarios' experts p_j(z)     first level: own and others
    n_t  = beta q_t(z) + (1 - beta) mean over the other heads' experts q_u(z)
    f_st = c_st + a_s m_s + a_t n_t;   logit_st = tower_st(f_st)                        second level
alpha, beta, a_s and a_t are sigmoids of one learned number each, which starts at 1, so 0.73: the own expert has that
share, all others 0.27 together. sg stops the gradient, LN is the layer norm. p_j of every scenario reads every row:
work per row grows with the number of scenarios.

Source: Zhang et al. 2024, "M3oE: Multi-Domain Multi-Task Mixture-of-Experts Recommendation Framework", compared with
its authors' code. The paper learns the weights of fusion on held-out rows, in turns with the network; here they learn
with it, as they do in that code. Its layer norms in experts and towers are left out. With one scenario or one head, m
or n is its own expert alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.experts import Experts
from polyrec.nn.gates import Gates, mix
from polyrec.nn.route import Route
from polyrec.nn.routed import StarLinear
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class M3oEConfig(InputOptions):
    """Options of `m3oe`."""

    widths: tuple[Count, Count] = (128, 64)  # of u and of z
    experts: Annotated[int, Ge(2)] = 4  # common ones; beside them one of each scenario and one of each head
    expert_widths: Hidden = (64,)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("m3oe", M3oEConfig)
class M3oE(nn.Module):
    """Common, scenarios' and tasks' experts fused by learned weights; gates and towers by scenario and head.

    A row of unknown scenario gets the mean of the logits that the scenarios would give it.
    Hidden: each head's mixture [B, H].
    """

    reads_other_scenarios: ClassVar[bool] = True

    def __init__(self, layout: Layout, heads: Sequence[str], config: M3oEConfig) -> None:
        super().__init__()
        self.heads, self.scenarios = checked(heads), len(layout.scenarios)
        count = len(self.heads)
        self.inputs = Inputs(layout, config)
        self.bottom = _Bottom(self.inputs.width, config.widths, self.scenarios)
        width, widths, dropout = config.widths[1], config.expert_widths, config.dropout
        self.common = Experts(config.experts, width, widths, dropout=dropout)
        self.gates = Gates(width, experts=config.experts, heads=count, scenarios=self.scenarios)
        self.of_scenario = _Group(Experts(self.scenarios, width, widths, dropout=dropout))
        self.of_task = _Group(Experts(count, width, widths, dropout=dropout))
        self.towers = Towers(
            widths[-1], config.tower_widths, heads=count, scenarios=self.scenarios, dropout=config.dropout
        )

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        z = self.bottom(route.enter(self.inputs(batch, route.order)), route)  # [N, I]
        _, scenario = route.rows()
        own = torch.arange(self.scenarios, device=scenario.device) == scenario[:, None]  # [N, S]
        task = torch.eye(len(self.heads), dtype=torch.bool, device=z.device).expand(z.shape[0], -1, -1)  # [N, T, T]
        mixed = mix(self.gates(z.detach(), route), self.common(z))  # [T, N, H]
        mixed = mixed + self.of_scenario(z, own[:, None]) + self.of_task(z, task)
        logits = route.restore(route.leave(self.towers(mixed, route)[..., None]))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), by_head(self.heads, route.restore(route.leave(mixed))))


class _Bottom(nn.Module):
    """A layer of the scenario's own times a shared one, another, and a way around both."""

    def __init__(self, width: int, widths: tuple[int, int], scenarios: int) -> None:
        super().__init__()
        self.star = StarLinear(width, widths[0], scenarios)
        self.layer = nn.Sequential(nn.Linear(widths[0], widths[1]), nn.LayerNorm(widths[1]), nn.ReLU())
        self.around = nn.Sequential(nn.Linear(width, widths[1]), nn.LayerNorm(widths[1]), nn.ReLU())

    def forward(self, x: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "N O"]:
        z: Tensor = self.layer(self.star(x[None], route)[0]) + self.around(x)
        return z


class _Group(nn.Module):
    """One expert of each member: a member's own and the mean of the others, and what both count for."""

    def __init__(self, experts: Experts) -> None:
        super().__init__()
        self.experts = experts
        self.balance = nn.Parameter(torch.ones(())) if experts.count > 1 else None
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z: Float[Tensor, "N I"], own: Tensor) -> Float[Tensor, "K N H"]:
        """`own` [N, K, members]: which member each of K answers is for."""
        share = own.to(z.dtype)
        if self.balance is not None:
            mine = torch.sigmoid(self.balance)
            share = share * mine + (1.0 - share) * ((1.0 - mine) / (self.experts.count - 1))
        return mix(torch.sigmoid(self.weight) * share, self.experts(z))
