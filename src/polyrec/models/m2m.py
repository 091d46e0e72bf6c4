"""Meta units: weights made from the scenario's embedding choose among experts and form the towers.

`e = relu(scenario embedding A + a)`; a meta unit is `meta(x) = x W(e) + b(e)`, its weights affine in e.
For head t with task vector q_t and experts h_i: `a_ti = v . leaky(meta([h_i, q_t]))`,
`L_0 = sum_i softmax_i(a_ti) h_i`, `L_j = leaky(meta_j(L_{j-1}) + L_{j-1})`, `logit_t = L w_t + b_t`.

Source: Zhang et al. 2022, "Leaving No One Behind: A Multi-Scenario Multi-Task Meta Learning Approach for Advertiser
Modeling" (meta unit, meta attention, meta tower). Attention is over the experts of one row; released code is
known to let it run over the rows of a batch, which the paper does not say. The transformer over sequences is left
out: sequences enter as the mean, as in every model of this zoo. One layer in the attention's meta unit is our choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Layout, Output
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate
from polyrec.models.registry import register
from polyrec.nn.experts import Experts
from polyrec.nn.hyper import MetaLinear
from polyrec.nn.stacked import StackedLinear
from polyrec.shapes import Tensor


@dataclass(frozen=True, slots=True)
class M2MConfig(InputOptions):
    """Options of `m2m`."""

    experts: Annotated[int, Ge(2)] = 4  # attention over one would say nothing
    expert_widths: Hidden = (128, 32)
    meta_width: Count = 8  # numbers that stand for a scenario in meta units, and for a task
    tower_layers: Count = 1
    dropout: Rate = 0.0


@register("m2m", M2MConfig)
class M2M(nn.Module):
    """Shared experts; attention and towers whose weights the scenario's embedding makes.

    A row of unknown scenario reads the mean of the scenarios' embeddings.
    Hidden: each head's last tower layer [B, H].
    """

    def __init__(self, layout: Layout, heads: Sequence[str], config: M2MConfig) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.inputs = Inputs(layout, config)
        self.dim, width, count = config.dim, config.expert_widths[-1], len(self.heads)
        self.experts = Experts(config.experts, self.inputs.width, config.expert_widths, dropout=config.dropout)
        self.scenario = nn.Linear(config.dim, config.meta_width)
        self.tasks = nn.Parameter(torch.randn(count, config.meta_width))
        self.attention = MetaLinear(width + config.meta_width, width, config.meta_width)
        self.score = nn.Linear(width, 1, bias=False)
        self.towers = nn.ModuleList(MetaLinear(width, width, config.meta_width) for _ in range(config.tower_layers))
        self.ends = StackedLinear(count, width, 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        x = self.inputs(batch)  # [B, W], the scenario's embedding last
        made = torch.relu(self.scenario(x[:, -self.dim :]))  # [B, V]
        hidden = self.experts(x)  # [B, E, H]
        rows, experts, _ = hidden.shape
        count = len(self.heads)
        pairs = torch.cat(
            [
                hidden[:, None].expand(-1, count, -1, -1),
                self.tasks[None, :, None].expand(rows, -1, experts, -1),
            ],
            -1,
        )  # [B, T, E, H + V]
        read = functional.leaky_relu(self.attention(pairs.flatten(1, 2), made))  # [B, T*E, H]
        share = torch.softmax(torch.unflatten(self.score(read)[..., 0], 1, (count, experts)), -1)
        h: Tensor = torch.bmm(share, hidden)  # [B, T, H]
        for tower in self.towers:
            h = self.dropout(functional.leaky_relu(tower(h, made) + h))
        h = h.transpose(0, 1)  # [T, B, H]
        return Output(by_head(self.heads, self.ends(h)[..., 0]), by_head(self.heads, h))
