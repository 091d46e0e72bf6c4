"""Experts that all rows could use, of which gates select a few: by scenario first, then by task.

A layer of selection (`nn.selection`) has E experts and a gate for each group (scenario, then head). For a row it
selects the experts that its group's gate alone claims, and those that every group's gate claims alike:
    h_0 = x;  h_l = sum_k share_k Q_lk(h_{l-1})          scenario layers, the row's group its scenario
    f_0t = h; f_lt = sum_k share_k P_lk(f_{l-1,t})       task layers, the group head t, the same experts for all heads
    logit_t = tower_t(f_t)
Gates read [h_{l-1}, scenario embedding], and [f_{l-1,t}, scenario embedding, task embedding]. In training two penalties
are added: `own` * the mean divergence of experts selected as a group's own from a one-hot, and `common` * that of the
common ones from the uniform.

A row needs the gates of all scenarios to know which expert is whose: gates, and they alone, cost with scenarios.

Source: Zou et al. 2022, "Automatic Expert Selection for Multi-Scenario and Multi-Task Search" (AESM2: gates with noise,
selection by Kullback-Leibler divergence, scenario layers below task layers). Its released code multiplies gates with
-1e9 to leave experts out, which takes in those of negative gate; here they are left out, as the paper says. There
the noise decides the selection alone, here it is in the shares too. One level of scenarios, no batch normalisation of
gates and the penalties' weights are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.errors import ConfigError
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.experts import Experts
from polyrec.nn.gates import mix
from polyrec.nn.route import Route, Whole
from polyrec.nn.selection import ExpertSelection, Selected
from polyrec.nn.table import INIT_STD
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Int, Tensor

Weight = Annotated[float, Ge(0.0)]


@dataclass(frozen=True, slots=True)
class AESM2Config(InputOptions):
    """Options of `aesm2`."""

    experts: Annotated[int, Ge(2)] = 6  # of a scenario layer
    task_experts: Annotated[int, Ge(2)] = 6  # of a task layer
    expert_widths: Hidden = (128, 64)
    task_expert_widths: Hidden = (64,)
    layers: Count = 1  # of scenarios
    task_layers: Count = 1
    own_experts: Count = 2  # selected as a scenario's or a task's own
    shared_experts: Count = 2  # selected as common
    noise: Weight = 0.1  # standard deviation of what is added to gates in training
    own: Weight = 0.01  # of the penalty on own experts
    common: Weight = 0.01
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("aesm2", AESM2Config)
class AESM2(nn.Module):
    """Layers of expert selection by scenario, then by task; a tower for each head.

    A row of unknown scenario gets the mean of the logits that the scenarios' selections would give it, and takes no
    part in the penalties. Hidden: each head's last mixture [B, H].
    Penalties, in training: `own experts`, `common experts`.
    """

    reads_other_scenarios: ClassVar[bool] = True

    def __init__(self, layout: Layout, heads: Sequence[str], config: AESM2Config) -> None:
        super().__init__()
        for name, count in (("experts", config.experts), ("task_experts", config.task_experts)):
            most = max(config.own_experts, config.shared_experts)
            if most > count:
                raise ConfigError(
                    f"[model] of aesm2: {most} experts are selected of {name} = {count}. "
                    f"Lower own_experts and shared_experts, or raise {name}."
                )
        self.heads, self.scenarios, self.config = checked(heads), len(layout.scenarios), config
        self.inputs = Inputs(layout, config)
        count, dim = len(self.heads), config.dim
        self.tasks = nn.Parameter(torch.randn(count, dim) * INIT_STD)
        below, ends = self.inputs.width, config.expert_widths[-1]
        self.layers = nn.ModuleList(
            _Layer(ends if place else below, dim, self.scenarios, config.experts, config.expert_widths, config)
            for place in range(config.layers)
        )
        after = config.task_expert_widths[-1]
        self.task_layers = nn.ModuleList(
            _Layer(after if place else ends, 2 * dim, count, config.task_experts, config.task_expert_widths, config)
            for place in range(config.task_layers)
        )
        self.towers = Towers(after, config.tower_widths, heads=count, dropout=config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        x = self.inputs(batch, route.order)  # [B, W]
        count = len(self.heads)
        _, scenario = route.rows()
        h, about = route.enter(x), route.enter(x[:, -self.config.dim :])
        found = []
        for layer in self.layers:
            h, selected = layer(h, about, scenario)  # [N, H]
            found.append(selected)
        rows = h.shape[0]
        f, group = h.repeat(count, 1), _groups(scenario, count)  # [T*N, H]
        told = torch.cat([about.repeat(count, 1), self.tasks[group]], 1)
        for layer in self.task_layers:
            f, selected = layer(f, told, group)
            found.append(selected)
        f = torch.unflatten(f, 0, (count, rows))
        logits = route.restore(route.leave(self.towers(f, Whole())[..., None]))[..., 0]
        hidden = by_head(self.heads, route.restore(route.leave(f)))
        penalties = self._penalties(found, rows, sum(route.sizes)) if self.training else {}
        return Output(by_head(self.heads, logits), hidden, penalties)

    def _penalties(self, found: list[Selected], rows: int, known: int) -> dict[str, Tensor]:
        """Means over rows of known scenario, heads and layers; 0 where there is no such row."""
        penalties = {}
        for name, weight, place in (("own experts", self.config.own, 1), ("common experts", self.config.common, 2)):
            each = [one[place].view(-1 if rows else 1, rows)[:, :known].mean(0).sum() for one in found]
            if weight:
                penalties[name] = weight * torch.stack(each).sum() / (max(known, 1) * len(each))
        return penalties


class _Layer(nn.Module):
    """E experts, and the gates that select among them."""

    def __init__(
        self, width: int, told: int, groups: int, experts: int, widths: tuple[int, ...], config: AESM2Config
    ) -> None:
        super().__init__()
        self.experts = Experts(experts, width, widths, dropout=config.dropout)
        self.selection = ExpertSelection(
            width + told,
            experts=experts,
            groups=groups,
            own=config.own_experts,
            common=config.shared_experts,
            noise=config.noise,
        )

    def forward(
        self, h: Float[Tensor, "N I"], told: Float[Tensor, "N _"], group: Int[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N H"], Selected]:
        selected = self.selection(torch.cat([h, told], 1), group)
        return mix(selected.share[:, None], self.experts(h))[0], selected


def _groups(scenario: Int[Tensor, "N"], heads: int) -> Int[Tensor, "_"]:
    """The head of each row when all rows come once for each head."""
    head = torch.arange(heads, device=scenario.device)
    return head[:, None].expand(-1, scenario.shape[0]).flatten()
