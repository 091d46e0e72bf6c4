"""Every scenario's tower reads every row, and a gate of the row's scenario mixes what they say.

For a row of scenario s and head t, with E experts that all rows share:
    f_jt = sum_e softmax(x G_jt + c_jt)_e h_e,   o_jt = tower_jt(f_jt)         for every scenario j
    logit_t = sum_j softmax(x V_st + d_st)_j o_jt,   o_jt without gradient where j is not s
So a scenario reads what the others would say of its row, and teaches only its own tower and gates. Work per row
grows with the number of scenarios.

Source: Li et al. 2020, "Improving Multi-Scenario Learning to Rank in E-commerce by Exploiting Task Relationships in the
Label Space" (HMoE: an implicit mixture of experts below, an explicit one in the space of labels above). Its ranking
loss is not here. Mixing logits, and heads beyond one, each with a mixture of its own, are our reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.experts import Experts
from polyrec.nn.gates import Gates
from polyrec.nn.route import Route, Whole
from polyrec.nn.stacked import StackedLinear
from polyrec.nn.tower import Towers
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class HMoEConfig(InputOptions):
    """Options of `hmoe`."""

    experts: Annotated[int, Ge(2)] = 4  # a softmax over one would say nothing
    expert_widths: Hidden = (128, 64)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("hmoe", HMoEConfig)
class HMoE(nn.Module):
    """Shared experts; gates and towers of each scenario and head; a mixture of all scenarios' logits.

    A row of unknown scenario gets the mean of the mixtures that the scenarios would make for it.
    Hidden: each head's weights of the scenarios [B, S], `weights/<head>`.
    """

    reads_other_scenarios: ClassVar[bool] = True

    def __init__(self, layout: Layout, heads: Sequence[str], config: HMoEConfig) -> None:
        super().__init__()
        self.heads, self.scenarios = checked(heads), len(layout.scenarios)
        self.inputs = Inputs(layout, config)
        width, cells = self.inputs.width, self.scenarios * len(self.heads)
        self.experts = Experts(config.experts, width, config.expert_widths, dropout=config.dropout)
        self.gates = StackedLinear(self.scenarios, width, len(self.heads) * config.experts)
        self.towers = Towers(self.experts.width, config.tower_widths, heads=cells, dropout=config.dropout)
        self.mixture = Gates(width, experts=self.scenarios, heads=len(self.heads), scenarios=self.scenarios)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios)
        x = self.inputs(batch, route.order)  # [B, W]
        said = self._said(x)  # [T, B, S]
        share = self.mixture(route.enter(x), route).transpose(0, 1)  # [T, N, S]
        _, scenario = route.rows()
        own = scenario[:, None] == torch.arange(self.scenarios, device=scenario.device)  # [N, S]
        whole, mine = route.leave(share), route.leave(share * own)  # [T, B, S]
        logits = (mine * said + (whole - mine) * said.detach()).sum(-1, keepdim=True)
        logits, weights = route.restore(logits)[..., 0], route.restore(whole)
        hidden = {f"weights/{head}": one for head, one in by_head(self.heads, weights).items()}
        return Output(by_head(self.heads, logits), hidden)

    def _said(self, x: Float[Tensor, "B W"]) -> Float[Tensor, "T B S"]:
        """What every scenario's tower says of every row."""
        share = torch.unflatten(self.gates(x), 2, (len(self.heads), -1)).softmax(-1)  # [S, B, T, E]
        mixed = torch.einsum("sbte,beh->stbh", share, self.experts(x)).flatten(0, 1)  # [S*T, B, H]
        logits = self.towers(mixed, Whole())  # [S*T, B]
        return torch.unflatten(logits, 0, (self.scenarios, -1)).permute(1, 2, 0)
