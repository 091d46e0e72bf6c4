"""Multi-gate mixture of experts, the scenario as a feature.

`h_e = MLP_e(x)` for E shared experts; for head t: `f_t = sum_e softmax(x G_t + c_t)_e h_e`,
`logit_t = tower_t(f_t)`. With `towers = "cell"`, a gate and a tower for each scenario and head.

Source: Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts"
(equations 5 to 7).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.experts import Experts
from polyrec.nn.gates import Gates, mix
from polyrec.nn.route import Route, Whole
from polyrec.nn.tower import Per, Towers


@dataclass(frozen=True, slots=True)
class MMoEConfig(InputOptions):
    """Options of `mmoe`."""

    experts: Annotated[int, Ge(2)] = 4  # E; a softmax over one would say nothing
    expert_widths: Hidden = (128, 64)
    tower_widths: Widths = (32,)
    towers: Per = "task"  # a gate and a tower for each head, or for each scenario x head ("cell")
    dropout: Rate = 0.0


@register("mmoe", MMoEConfig)
class MMoE(nn.Module):
    """Shared experts, gates and towers by scenario and head.

    A row of unknown scenario reads the mean of the scenarios' embeddings, and from parts that belong to a scenario
    gets the mean of their answers.
    Hidden: each head's mixture [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: MMoEConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scenarios = len(layout.scenarios) if config.towers == "cell" else None
        self.inputs = Inputs(layout, config)
        self.experts = Experts(config.experts, self.inputs.width, config.expert_widths, dropout=config.dropout)
        self.gates = Gates(self.inputs.width, experts=config.experts, heads=len(self.heads), scenarios=self.scenarios)
        self.towers = Towers(
            self.experts.width,
            config.tower_widths,
            heads=len(self.heads),
            scenarios=self.scenarios,
            dropout=config.dropout,
        )

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios) if self.scenarios else Whole()
        x = self.inputs(batch, route.order)  # [B, W]
        hidden = self.experts(x)  # [B, E, H]
        share = self.gates(route.enter(x), route)  # [N, T, E]
        mixed = mix(share, route.enter(hidden))  # [T, N, H]
        logits = self.towers(mixed, route)  # [T, N]
        logits = route.restore(route.leave(logits[..., None]))[..., 0]  # [T, B]
        mixed = route.restore(route.leave(mixed))  # [T, B, H]
        return Output(by_head(self.heads, logits), by_head(self.heads, mixed))
