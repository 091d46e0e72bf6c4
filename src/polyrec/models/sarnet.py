"""Scenario-aware ranking: a scenario shifts and scales what it reads, then debias experts, shared and its own.

For a row of scenario s: `z = x * beta_s + gamma_s` (element by element); shared experts and those of s read z; for head
t: `f_t = sum_e softmax(z G_st + c_st)_e h_e`, `logit_t = tower_t(f_t)`.

Source: Shen et al. 2021, "SAR-Net: A Scenario-Aware Ranking Network for Personalized Fair Recommendation in Hundreds
of Travel Scenarios" (its scenario-specific transformation and mixture of debias experts). Its attention over
behaviours is left out: sequences enter as the mean, as in every model of this zoo, so that a comparison tells what a
network makes of scenarios and not who reads sequences better. Nor are its fairness coefficients here: they weigh rows
by how an operator placed items, which the schema has no word for. Gates of each scenario, relu in experts and
heads beyond one are our reading.
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
from polyrec.nn.route import Route, Whole
from polyrec.nn.routed import RoutedExperts
from polyrec.nn.tower import Towers


@dataclass(frozen=True, slots=True)
class SARNetConfig(InputOptions):
    """Options of `sarnet`."""

    shared_experts: Count = 2
    own_experts: Count = 1  # of each scenario
    expert_widths: Hidden = (128, 64)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("sarnet", SARNetConfig)
class SARNet(nn.Module):
    """Transformation, experts and gates of each scenario beside shared experts; a tower for each head.

    A row of unknown scenario gets the mean of the logits that the scenarios would give it.
    Hidden: each head's mixture [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: SARNetConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scenarios, count = len(layout.scenarios), len(self.heads)
        self.inputs = Inputs(layout, config)
        width, widths = self.inputs.width, config.expert_widths
        self.scale = nn.Parameter(torch.ones(self.scenarios, width))
        self.shift = nn.Parameter(torch.zeros(self.scenarios, width))
        self.shared = Experts(config.shared_experts, width, widths, dropout=config.dropout)
        self.own = RoutedExperts(width, widths, self.scenarios, count=config.own_experts, dropout=config.dropout)
        experts = config.shared_experts + config.own_experts
        self.gates = Gates(width, experts=experts, heads=count, scenarios=self.scenarios)
        self.towers = Towers(widths[-1], config.tower_widths, heads=count, dropout=config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        _, scenario = route.rows()
        x = route.enter(self.inputs(batch, route.order))  # [N, W]
        z = torch.addcmul(self.shift[scenario], x, self.scale[scenario])
        experts = torch.cat([self.shared(z), self.own(z, route).transpose(0, 1)], 1)  # [N, E, H]
        mixed = mix(self.gates(z, route), experts)  # [T, N, H]
        logits = route.restore(route.leave(self.towers(mixed, Whole())[..., None]))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), by_head(self.heads, route.restore(route.leave(mixed))))
