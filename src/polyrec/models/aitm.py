"""A tower for each head, and what a task's parent in the funnel knows passed on to it.

For head t with rows x:  `q_t = MLP_t(x)`.  Where task t comes after task c and both are heads:
    p_t = relu(z_c A_t + a_t)                                        what the parent passes on
    w_u = softmax over u in {p_t, q_t} of (u K) . (u Q) / sqrt(H)
    z_t = sum_u w_u (u V)
else `z_t = q_t`. `logit_t = z_t v_t + b_t`. K, Q and V are the same for every transfer.

The schema's funnel (`after`) says what comes after what. A head that is no task has no place in it, and gets nothing
passed on. Source: Xi et al. 2021, "Modeling the Sequential Dependence among Audience Multi-step Conversions with
Multi-task Learning in Targeted Advertising", equations 3 to 8, compared with its authors' code, whose batch
normalisation is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Hidden, InputOptions, Inputs, Rate
from polyrec.models.registry import register
from polyrec.nn.stacked import StackedLinear, StackedMLP
from polyrec.schema import funnel
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True, slots=True)
class AITMConfig(InputOptions):
    """Options of `aitm`."""

    tower_widths: Hidden = (128, 64)
    dropout: Rate = 0.0


@register("aitm", AITMConfig)
class AITM(nn.Module):
    """Adaptive information transfer along the funnel; the scenario is a feature.

    A row of unknown scenario reads the mean of the scenarios' embeddings.
    Hidden: each head's z [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: AITMConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.inputs = Inputs(layout, config)
        width = config.tower_widths[-1]
        self.towers = StackedMLP(len(self.heads), self.inputs.width, config.tower_widths, dropout=config.dropout)
        self.steps = _steps(layout, self.heads)
        self.transfers = nn.ModuleList(_Transfer(width, config.dropout) for _ in self.steps)
        self.projections = nn.Linear(width, 3 * width, bias=False) if self.steps else None  # K, Q, V side by side
        self.ends = StackedLinear(len(self.heads), width, 1)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        states = list(self.towers(self.inputs(batch)).unbind(0))  # T of [B, H]
        for (child, parent), transfer in zip(self.steps, self.transfers, strict=True):
            states[child] = transfer(states[parent], states[child], self.projections)
        stacked = torch.stack(states)  # [T, B, H]
        return Output(by_head(self.heads, self.ends(stacked)[..., 0]), by_head(self.heads, stacked))


class _Transfer(nn.Module):
    """Self-attention over two places: what the parent passes on, and the task's own state."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.passed = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, parent: Float[Tensor, "B H"], own: Float[Tensor, "B H"], projections: nn.Linear
    ) -> Float[Tensor, "B H"]:
        both = torch.stack([self.dropout(torch.relu(self.passed(parent))), own])  # [2, B, H]
        key, query, value = projections(both).chunk(3, -1)
        share = torch.softmax((key * query).sum(-1, keepdim=True) * own.shape[1] ** -0.5, 0)  # [2, B, 1]
        mixed: Tensor = (share * value).sum(0)
        return mixed


def _steps(layout: Layout, heads: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(child, parent) places among the heads, parents before their children."""
    tasks = [task for task in layout.tasks if task.name in heads and task.after in heads]
    tasks.sort(key=lambda task: len(funnel(layout.tasks, task.name)))
    return tuple((heads.index(task.name), heads.index(str(task.after))) for task in tasks)
