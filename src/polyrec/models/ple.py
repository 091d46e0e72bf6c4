"""Progressive layered extraction: experts that all heads share and experts of each head's own.

In a level, head t mixes its own experts and the shared ones with a gate that reads its own rows,
`f_t = sum_e softmax(x_t G_t + c_t)_e h_e`; the shared stream, which feeds the next level's shared experts,
mixes all experts. The first level's rows are all x; the last level has no shared stream.
`logit_t = tower_t(f_t)`. With `towers = "cell"`, gates and a tower for each scenario and head.

Source: Tang et al. 2020, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for
Personalized Recommendations", equations 1 to 7.
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
from polyrec.nn.gates import Selectors, mix
from polyrec.nn.route import Route, Whole
from polyrec.nn.tower import Per, Towers
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class PLEConfig(InputOptions):
    """Options of `ple`."""

    levels: Count = 1
    shared_experts: Count = 2
    head_experts: Count = 1  # of each head
    expert_widths: Hidden = (128, 64)
    tower_widths: Widths = (32,)
    towers: Per = "task"  # gates and a tower for each head, or for each scenario x head ("cell")
    dropout: Rate = 0.0


class _Level(nn.Module):
    """One extraction level; experts lie as head 0's, head 1's, ..., shared."""

    own: Tensor

    def __init__(self, width_in: int, heads: int, scenarios: int | None, config: PLEConfig, *, last: bool) -> None:
        super().__init__()
        count = heads * config.head_experts + config.shared_experts
        self.experts = Experts(count, width_in, config.expert_widths, dropout=config.dropout)
        mine = config.head_experts + config.shared_experts
        self.gates = Selectors(width_in, experts=mine, heads=heads, scenarios=scenarios)
        self.shared_gate = None if last else nn.Linear(width_in, count)
        shared = torch.arange(heads * config.head_experts, count)
        own = torch.arange(heads * config.head_experts).view(heads, config.head_experts)
        self.register_buffer("own", torch.cat([own, shared.expand(heads, -1)], 1), persistent=False)
        self.repeats = (config.head_experts, config.shared_experts)

    def forward(
        self,
        own: Float[Tensor, "T N I"],
        shared: Float[Tensor, "N I"],
        hidden: Float[Tensor, "N E H"],
        route: Route | Whole,
    ) -> tuple[Float[Tensor, "T N H"], Float[Tensor, "N _"]]:
        """Each head's stream and the shared one, from those that came in and the experts' answers to them."""
        share = self.gates(own, route)  # [N, T, own + shared]
        place = self.own.expand(share.shape[0], -1, -1)
        every = share.new_zeros(*share.shape[:2], hidden.shape[1]).scatter(2, place, share)  # [N, T, E]
        streams = mix(every, hidden)  # [T, N, H]
        if self.shared_gate is None:
            return streams, shared
        return streams, mix(torch.softmax(self.shared_gate(shared), -1)[:, None], hidden)[0]

    def read(self, own: Float[Tensor, "T N I"], shared: Float[Tensor, "N I"]) -> Float[Tensor, "N E H"]:
        """What the experts answer: a head's own experts read its stream, the shared ones the shared stream."""
        rows = [own.repeat_interleave(self.repeats[0], 0), shared.expand(self.repeats[1], -1, -1)]
        hidden: Tensor = self.experts(torch.cat(rows))
        return hidden


@register("ple", PLEConfig)
class PLE(nn.Module):
    """Shared and own experts in levels, gates and towers by scenario and head.

    A row of unknown scenario reads the mean of the scenarios' embeddings, and from parts that belong to a scenario
    gets the mean of their answers.
    Hidden: each head's last stream [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: PLEConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scenarios = len(layout.scenarios) if config.towers == "cell" else None
        self.inputs = Inputs(layout, config)
        width, count = config.expert_widths[-1], len(self.heads)
        self.levels = nn.ModuleList(
            _Level(
                width if level else self.inputs.width, count, self.scenarios, config, last=level + 1 == config.levels
            )
            for level in range(config.levels)
        )
        self.towers = Towers(width, config.tower_widths, heads=count, scenarios=self.scenarios, dropout=config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        route = Route(batch.scenario, self.scenarios) if self.scenarios else Whole()
        x = self.inputs(batch, route.order)  # [B, W]
        first = self.levels[0]
        assert isinstance(first, _Level)
        hidden = first.experts(x)  # [B, E, H]: every expert of the first level reads the same rows
        hidden = route.enter(hidden)  # [N, E, H]
        shared = route.enter(x)
        own = shared.expand(len(self.heads), -1, -1)  # [T, N, W]
        for place, level in enumerate(self.levels):
            assert isinstance(level, _Level)
            if place:
                hidden = level.read(own, shared)
            own, shared = level(own, shared, hidden, route)
        logits = route.restore(route.leave(self.towers(own, route)[..., None]))[..., 0]  # [T, B]
        return Output(by_head(self.heads, logits), by_head(self.heads, route.restore(route.leave(own))))
