"""Scenario-CGC below task-CGC, and towers whose every layer is scaled by who the user, item and scenario are.

For a row of scenario i, task j and shared embeddings x:
    G   = sum_k softmax(x W_sh + b_sh)_k Q_sh^k(x)             shared experts, one gate
    S_i = sum_k softmax(x W_i + b_i)_k Q_i^k(x)                experts and gate of the row's scenario
    M_i = [G ; S_i]
    T_ij = delta_ij [E_shared^i(M_i) || E_own^ij(M_i)],  delta_ij = softmax(M_i W_ij), no bias
    H_l  = GateNU_jl([prior ; sg(x)]) * relu(H_{l-1} W_ijl + b_ijl),  H_0 = T_ij;  logit_ij = H_L w_ij + b_ij
The prior is the embeddings of user, item and scenario; sg stops the gradient; GateNU_jl is shared by scenarios and
starts as the factor 1. Each row runs its own scenario's experts and towers only.

Source: Yi et al. 2025, "Adaptive entire-space multi-scenario multi-task transfer learning", equations 3 to 14. Sizes,
the gates' start and sg(x) as the flattened embeddings are our reconstruction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.experts import Experts
from polyrec.nn.gates import Gates, GateUnit, mix
from polyrec.nn.route import Route
from polyrec.nn.routed import RoutedExperts, RoutedLinear
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class AEM2TLConfig(InputOptions):
    """Options of `aem2tl`; the three flags are the paper's ablations."""

    expert_widths: Hidden = (128, 64)
    shared_experts: Count = 2
    own_experts: Count = 2  # of each scenario
    task_expert_widths: Hidden = (64,)
    task_shared_experts: Count = 2  # of each scenario
    task_own_experts: Count = 1  # of each scenario and head
    tower_widths: Widths = (64, 32)
    gate_width: Count = 32
    scenario_cgc: bool = True  # without: the shared experts alone
    task_cgc: bool = True  # without: towers read M_i itself
    gating: bool = True  # without: no personalised gates
    dropout: Rate = 0.0


@register("aem2tl", AEM2TLConfig)
class AEM2TL(nn.Module):
    """AEM²TL's network.

    A row of unknown scenario reads the mean of the scenarios' embeddings, and from parts that belong to a scenario
    gets the mean of their answers.

    Hidden: `bottom` [B, 2H], what the task experts read.
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: AEM2TLConfig) -> None:
        super().__init__()
        self.heads, self.scenarios = checked(heads), len(layout.scenarios)
        self.inputs = Inputs(layout, config)
        width, count = self.inputs.width, len(self.heads)
        self.shared = Experts(config.shared_experts, width, config.expert_widths, dropout=config.dropout)
        self.shared_gate = Gates(width, experts=config.shared_experts, heads=1)
        bottom = self.shared.width * (2 if config.scenario_cgc else 1)
        self.scenario = _Own(width, config, self.scenarios) if config.scenario_cgc else None
        self.task = _TaskCGC(bottom, config, self.scenarios, count) if config.task_cgc else None
        sizes = (config.task_expert_widths[-1] if config.task_cgc else bottom, *config.tower_widths)
        self.layers = nn.ModuleList(RoutedLinear(a, b, self.scenarios, heads=count) for a, b in pairwise(sizes))
        self.end = RoutedLinear(sizes[-1], 1, self.scenarios, heads=count)
        prior = set(self.inputs.columns(sides=("user", "item"), names=("scenario",)))
        # Runs of columns inside and outside the prior: one split, whose gradient is one concatenation.
        self.runs = [(told, len(list(run))) for told, run in groupby(range(width), prior.__contains__)]
        self.gates = nn.ModuleList(
            GateUnit(len(prior) + width, config.gate_width, count * size, neutral=True)
            for size in config.tower_widths * config.gating
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        x = self.inputs(batch, route.order)  # [B, W]
        bottom = route.enter(mix(self.shared_gate(x, route), self.shared(x))[0])  # [N, H]
        if self.scenario is not None:
            bottom = torch.cat([bottom, self.scenario(route.enter(x), route)], 1)  # [N, 2H]
        h: Tensor = (
            bottom.expand(len(self.heads), -1, -1) if self.task is None else self.task(bottom, route)
        )  # [T, N, H]
        prior = self._prior(x) if len(self.gates) else None
        for place, layer in enumerate(self.layers):
            h = self.dropout(layer(h, route, relu=True))  # [T, N, H]
            if prior is not None:
                factors = torch.unflatten(route.enter(self.gates[place](prior)), 1, (len(self.heads), -1))
                h = factors.transpose(0, 1) * h
        logits = route.restore(route.leave(self.end(h, route)))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), {"bottom": route.restore(route.leave(bottom[None]))[0]})

    def _prior(self, x: Float[Tensor, "B W"]) -> Float[Tensor, "B P"]:
        """[embeddings of user, item and scenario; sg(x)]."""
        parts = torch.split(x, [length for _, length in self.runs], 1)
        chosen = [part for part, (told, _) in zip(parts, self.runs, strict=True) if told]
        return torch.cat([*chosen, x.detach()], 1)


class _Own(nn.Module):
    """Experts and gate of the row's scenario."""

    def __init__(self, width: int, config: AEM2TLConfig, scenarios: int) -> None:
        super().__init__()
        self.experts = RoutedExperts(
            width, config.expert_widths, scenarios, count=config.own_experts, dropout=config.dropout
        )
        self.gate = Gates(width, experts=config.own_experts, heads=1, scenarios=scenarios)

    def forward(self, x: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "N H"]:
        return mix(self.gate(x, route), self.experts(x, route).transpose(0, 1))[0]


class _TaskCGC(nn.Module):
    """The row's scenario's shared experts, and those of each head, mixed for each head."""

    def __init__(self, width: int, config: AEM2TLConfig, scenarios: int, heads: int) -> None:
        super().__init__()
        self.common, self.heads, widths = config.task_shared_experts, heads, config.task_expert_widths
        # Two parts, since what all heads share is where their gradients are compared.
        self.shared = RoutedExperts(width, widths, scenarios, count=self.common, dropout=config.dropout)
        own = heads * config.task_own_experts
        self.own = RoutedExperts(width, widths, scenarios, count=own, dropout=config.dropout)
        self.gate = RoutedLinear(width, heads * self.common + own, scenarios, bias=False)

    def forward(self, x: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "T N H"]:
        share = torch.softmax(self.gate(x[None], route)[0].unflatten(1, (self.heads, -1)), -1)  # [N, T, m + n]
        common = torch.einsum("nte,enh->tnh", share[..., : self.common], self.shared(x, route))
        own = self.own(x, route).unflatten(0, (self.heads, -1))  # [T, n, N, H]
        return common + torch.einsum("nte,tenh->tnh", share[..., self.common :], own)
