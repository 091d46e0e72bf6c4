"""Experts that a gate selects for each row: those that are its group's own, and those that all groups use alike."""

from math import log
from typing import NamedTuple

import torch
from torch import nn

from polyrec.nn.stacked import StackedLinear
from polyrec.shapes import Bool, Float, Int, Tensor


class Selected(NamedTuple):
    """Shares of the experts of each row and group, and how far the selected ones are from what they are taken for."""

    share: Float[Tensor, "N E"]
    own: Float[Tensor, "N"]  # mean divergence of the selected own experts
    common: Float[Tensor, "N"]  # of the selected common ones


class ExpertSelection(nn.Module):
    """Gates of C groups over E experts, which select experts by what their gates have in common.

    Formula, for a row u of group c:
        z_jk = (u G_j + b_j)_k for every group j and expert k, with `noise * normal(0, 1)` added in training
        q_k  = softmax over j of z_jk                                   whose an expert is
        own_k = KL(one-hot of c || q_k) = -log q_ck,   common_k = KL(uniform || q_k) = -log C - mean_j log q_jk
        K = the `own` experts of least own_k, and the `common` experts of least common_k (one may be both)
        share_k = softmax over K of z_ck, 0 elsewhere
    Of equals the first is selected, so that a row selects the same in any company.

    Source: Zou et al. 2022, "Automatic Expert Selection for Multi-Scenario and Multi-Task Search".

    Example:
        >>> selection = ExpertSelection(8, experts=6, groups=3, own=1, common=2)
        >>> found = selection(torch.rand(5, 8), torch.tensor([0, 1, 2, 0, 0]))
        >>> found.share.shape, bool(((found.share > 0).sum(1) <= 3).all())
        (torch.Size([5, 6]), True)
    """

    def __init__(self, width_in: int, *, experts: int, groups: int, own: int, common: int, noise: float = 0.0) -> None:
        super().__init__()
        self.own, self.common, self.noise = own, common, noise
        self.gates = StackedLinear(groups, width_in, experts)

    def forward(self, u: Float[Tensor, "N I"], group: Int[Tensor, "N"]) -> Selected:
        """Rows, and the group that each is of."""
        z: Tensor = self.gates(u).transpose(0, 1)  # [N, C, E]
        if self.training and self.noise:
            z = z + self.noise * torch.randn_like(z)
        log_q = torch.log_softmax(z, 1)  # [N, C, E]
        place = group[:, None, None].expand(-1, 1, z.shape[2])
        own = -log_q.gather(1, place)[:, 0]  # [N, E]
        common = -log_q.mean(1) - log(z.shape[1])
        mine, shared = _least(own, self.own), _least(common, self.common)
        gate = z.gather(1, place)[:, 0].masked_fill(~(mine | shared), -torch.inf)
        return Selected(gate.softmax(-1), (own * mine).sum(1) / self.own, (common * shared).sum(1) / self.common)


def _least(x: Float[Tensor, "N E"], count: int) -> Bool[Tensor, "N E"]:
    """Which numbers are among the `count` least of their row; of equals the first."""
    place = torch.arange(x.shape[1], device=x.device)
    before = (x[:, None] < x[:, :, None]) | ((x[:, None] == x[:, :, None]) & (place[None, :] < place[:, None]))
    return before.sum(2) < count
