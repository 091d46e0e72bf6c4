"""Scenarios first, tasks second: shared, own and other scenarios' knowledge side by side, then experts of tasks.

For a row of scenario s with scenario embedding v_s:
    G   = sum_k softmax(x W + b)_k Q^k(x)                     shared experts
    S_j = sum_k softmax(x W_j + b_j)_k Q_j^k(x)               experts of every scenario j
    A_s = sum over j other than s of softmax(v_s U + u)_j S_j       attention over the other scenarios
    C   = [G ; S_s ; A_s]
    f_st = sum_e softmax(C G_st + c_st)_e h_e(C)              experts of tasks: shared ones, and those of (s, t)
    logit_st = tower_st(f_st)
S_j of every scenario is worked out for every row: work per row grows with the number of scenarios.

Source: Zhou et al. 2023, "HiNet: Novel Multi-Scenario & Multi-Task Learning with Hierarchical Information Extraction"
(scenario extraction layer with its scenario-aware attentive network, then CGC). One linear layer in the attention, its
softmax over the other scenarios only, and task experts of scenario and head beside those of all are our reading. With
one scenario there is no other: C = [G ; S].
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
from polyrec.nn.routed import RoutedExperts
from polyrec.nn.stacked import StackedLinear
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Int, Tensor


@dataclass(frozen=True, slots=True)
class HiNetConfig(InputOptions):
    """Options of `hinet`."""

    shared_experts: Annotated[int, Ge(2)] = 2  # a softmax over one would say nothing
    own_experts: Annotated[int, Ge(2)] = 2  # of each scenario
    expert_widths: Hidden = (128, 64)
    task_shared_experts: Count = 2
    task_own_experts: Count = 1  # of each scenario and head
    task_expert_widths: Hidden = (64,)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("hinet", HiNetConfig)
class HiNet(nn.Module):
    """Scenario extraction with attention over the other scenarios, task extraction, towers by scenario and head.

    A row of unknown scenario gets the mean of the logits that the scenarios would give it.
    Hidden: `bottom` [B, 3H], what the task experts read, and each head's mixture [B, H].
    """

    reads_other_scenarios: ClassVar[bool] = True

    def __init__(self, layout: Layout, heads: Sequence[str], config: HiNetConfig) -> None:
        super().__init__()
        self.heads, self.scenarios = checked(heads), len(layout.scenarios)
        self.inputs = Inputs(layout, config)
        self.extract = _Extraction(self.inputs.width, self.scenarios, config)
        self.tasks = _Tasks(self.extract.width, self.scenarios, len(self.heads), config)
        self.towers = Towers(
            config.task_expert_widths[-1],
            config.tower_widths,
            heads=len(self.heads),
            scenarios=self.scenarios,
            dropout=config.dropout,
        )

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        x = self.inputs(batch, route.order)  # [B, W]
        _, scenario = route.rows()
        bottom = self.extract(x, scenario, self.inputs.scenario_embedding(scenario), route)  # [N, 3H]
        mixed = self.tasks(bottom, route)  # [T, N, H]
        logits = route.restore(route.leave(self.towers(mixed, route)[..., None]))[..., 0]  # [T, B]
        hidden = by_head(self.heads, route.restore(route.leave(mixed)))
        return Output(by_head(self.heads, logits), {"bottom": route.restore(route.leave(bottom[None]))[0], **hidden})


class _Extraction(nn.Module):
    """What is common, what is the scenario's, and what it takes from the others."""

    def __init__(self, width: int, scenarios: int, config: HiNetConfig) -> None:
        super().__init__()
        self.scenarios, mine = scenarios, config.own_experts
        self.shared = Experts(config.shared_experts, width, config.expert_widths, dropout=config.dropout)
        self.shared_gate = Gates(width, experts=config.shared_experts, heads=1)
        self.every = Experts(scenarios * mine, width, config.expert_widths, dropout=config.dropout)
        self.gates = StackedLinear(scenarios, width, mine)
        self.attention = nn.Linear(config.dim, scenarios) if scenarios > 1 else None
        self.width = self.shared.width * (3 if scenarios > 1 else 2)

    def forward(
        self, x: Float[Tensor, "B W"], scenario: Int[Tensor, "N"], embedding: Float[Tensor, "N D"], route: Route
    ) -> Float[Tensor, "N _"]:
        common = mix(self.shared_gate(x, route), self.shared(x))[0]  # [B, H]
        experts = torch.unflatten(self.every(x), 1, (self.scenarios, -1))  # [B, S, k, H]
        every = torch.einsum("sbk,bskh->bsh", self.gates(x).softmax(-1), experts)
        every = route.enter(every)  # [N, S, H]
        own = scenario[:, None] == torch.arange(self.scenarios, device=scenario.device)  # [N, S]
        parts = [route.enter(common), _weighted(own.to(every.dtype), every)]
        if self.attention is not None:
            share = self.attention(embedding).masked_fill(own, -torch.inf).softmax(-1)  # [N, S]
            parts.append(_weighted(share, every))
        return torch.cat(parts, 1)


class _Tasks(nn.Module):
    """Experts of all rows and those of each scenario and head, mixed for each head."""

    def __init__(self, width: int, scenarios: int, heads: int, config: HiNetConfig) -> None:
        super().__init__()
        self.heads, self.mine = heads, config.task_own_experts
        widths = config.task_expert_widths
        self.shared = Experts(config.task_shared_experts, width, widths, dropout=config.dropout)
        self.own = RoutedExperts(width, widths, scenarios, count=heads * self.mine, dropout=config.dropout)
        experts = self.mine + config.task_shared_experts
        self.gates = Gates(width, experts=experts, heads=heads, scenarios=scenarios)

    def forward(self, x: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "T N H"]:
        own = torch.unflatten(self.own(x, route), 0, (self.heads, self.mine))  # [T, e, N, H]
        share = self.gates(x, route)  # [N, T, e + shared]
        mixed = torch.einsum("nte,tenh->tnh", share[..., : self.mine], own)
        return mixed + mix(share[..., self.mine :], self.shared(x))


def _weighted(share: Float[Tensor, "N S"], every: Float[Tensor, "N S H"]) -> Float[Tensor, "N H"]:
    return torch.bmm(share[:, None], every)[:, 0]
