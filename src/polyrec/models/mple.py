"""PLE over scenario x task: experts that all rows share, and experts of each scenario and head.

For a row of scenario s and head t: `f_st = sum_e softmax(x G_st + c_st)_e h_e` over the experts of (s, t) and the
shared ones, `logit_st = tower_st(f_st)`.

Source: Tang et al. 2020, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized
Recommendations", equations 1 to 4 (one level), each scenario x task taken as a task: the M-PLE that multi-scenario
papers compare with. Which experts a cell owns is our reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.experts import Experts
from polyrec.nn.gates import Gates, mix
from polyrec.nn.route import Route
from polyrec.nn.routed import RoutedExperts
from polyrec.nn.tower import Towers


@dataclass(frozen=True, slots=True)
class MPLEConfig(InputOptions):
    """Options of `mple`."""

    shared_experts: Count = 2
    own_experts: Count = 1  # of each scenario and head
    expert_widths: Hidden = (128, 64)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("mple", MPLEConfig)
class MPLE(nn.Module):
    """Shared experts, and experts, gate and tower of each scenario and head.

    A row of unknown scenario gets the mean of the scenarios' logits.
    Hidden: each head's mixture [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: MPLEConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scenarios, count = len(layout.scenarios), len(self.heads)
        self.inputs = Inputs(layout, config)
        width, self.mine = self.inputs.width, config.own_experts
        self.shared = Experts(config.shared_experts, width, config.expert_widths, dropout=config.dropout)
        self.own = RoutedExperts(
            width, config.expert_widths, self.scenarios, count=count * self.mine, dropout=config.dropout
        )
        experts = self.mine + config.shared_experts
        self.gates = Gates(width, experts=experts, heads=count, scenarios=self.scenarios)
        self.towers = Towers(
            config.expert_widths[-1], config.tower_widths, heads=count, scenarios=self.scenarios, dropout=config.dropout
        )

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        x = self.inputs(batch, route.order)  # [B, W]
        shared = route.enter(self.shared(x))  # [N, E, H]
        x = route.enter(x)
        own = torch.unflatten(self.own(x, route), 0, (len(self.heads), self.mine))  # [T, E, N, H]
        share = self.gates(x, route)  # [N, T, own + shared]
        mixed = torch.einsum("nte,tenh->tnh", share[..., : self.mine], own) + mix(share[..., self.mine :], shared)
        logits = route.restore(route.leave(self.towers(mixed, route)[..., None]))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), by_head(self.heads, route.restore(route.leave(mixed))))
