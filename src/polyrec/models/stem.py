"""Tables of every head beside shared ones; every head reads all experts and teaches only its own and the shared.

`x_t` and `x_0` are the row under head t's own tables and under the shared ones. Experts of head t read x_t, shared ones
x_0.
    f_t = sum_e softmax((x_t + x_0) G_t + c_t)_e h_e      over the experts of all heads and the shared ones,
                                                          those of other heads without gradient
    logit_t = tower_t(f_t)
So what another head knows is read, and its tables stay its own.

Source: Su et al. 2024, "STEM: Unleashing the Power of Embeddings for Multi-task Recommendation" (STEM-Net: shared and
task-specific embeddings, the all-forward task-specific-backward gate), compared with its authors' code, whose gates
have hidden layers and which may have several levels. The scenario is a feature, with an embedding in each set of
tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.gates import Selectors, mix
from polyrec.nn.route import Whole
from polyrec.nn.stacked import StackedMLP
from polyrec.nn.tower import Towers
from polyrec.shapes import Tensor


@dataclass(frozen=True, slots=True)
class STEMConfig(InputOptions):
    """Options of `stem`."""

    shared_experts: Count = 1
    own_experts: Count = 1  # of each head
    expert_widths: Hidden = (128, 64)
    tower_widths: Widths = (32,)
    dropout: Rate = 0.0


@register("stem", STEMConfig)
class STEM(nn.Module):
    """Shared and own tables and experts, gates that read all and teach what is theirs; the scenario is a feature.

    A row of unknown scenario reads the mean of the scenarios' embeddings.
    Hidden: each head's mixture [B, H].
    """

    taught: Tensor

    def __init__(self, layout: Layout, heads: Sequence[str], config: STEMConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        count = len(self.heads)
        self.inputs = nn.ModuleList(Inputs(layout, config) for _ in range(count + 1))  # the shared one last
        width = self.inputs[0].width
        assert isinstance(width, int)
        self.owners = [head for head in range(count) for _ in range(config.own_experts)]
        experts, dropout = len(self.owners) + config.shared_experts, config.dropout
        # Two parts, since what all heads share is where their gradients are compared.
        self.own = StackedMLP(len(self.owners), width, config.expert_widths, dropout=dropout)
        self.shared = StackedMLP(config.shared_experts, width, config.expert_widths, dropout=dropout)
        self.gates = Selectors(width, experts=experts, heads=count)
        self.towers = Towers(config.expert_widths[-1], config.tower_widths, heads=count, dropout=config.dropout)
        taught = torch.ones(count, experts, dtype=torch.bool)
        taught[:, : len(self.owners)] = torch.tensor(self.owners) == torch.arange(count)[:, None]
        self.register_buffer("taught", taught, persistent=False)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        x = [one(batch) for one in self.inputs]  # T + 1 of [B, W]
        own = self.own(torch.stack([x[owner] for owner in self.owners]))
        hidden = torch.cat([own, self.shared(x[-1])]).transpose(0, 1)  # [B, E, H]
        share = self.gates(torch.stack(x[:-1]) + x[-1], Whole())  # [B, T, E]
        mine = share * self.taught
        mixed = mix(mine, hidden) + mix(share - mine, hidden.detach())  # [T, B, H]
        logits = self.towers(mixed, Whole())  # [T, B]
        return Output(by_head(self.heads, logits), by_head(self.heads, mixed))
