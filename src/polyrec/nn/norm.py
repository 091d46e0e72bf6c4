"""Normalisation whose statistics belong to a scenario."""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from polyrec.distributed import world
from polyrec.distributed.world import summed
from polyrec.nn.grouped import sums
from polyrec.nn.route import Route
from polyrec.shapes import Float, Tensor

ENOUGH = 2  # rows of a scenario that moments are taken from


class PartitionedNorm(nn.Module):
    """`z' = gamma gamma_s (z - mean_s) / sqrt(var_s + eps) + beta + beta_s`, s the row's scenario.

    In training, mean and variance (biased) are those of the scenario's rows in the batch, and running ones are
    kept; a scenario with fewer than two rows uses its running ones. When scoring, the running ones alone: a
    row's score does not depend on its batch-mates. An unknown scenario gets the moments of all scenarios
    pooled in equal parts, and the shared gamma and beta. Where several processes train, the batch is that of all.

    Source: Sheng et al. 2021, "One Model to Serve All: Star Topology Adaptive Recommender for Multi-Domain CTR
    Prediction", equations 4 to 6.

    Example:
        >>> norm = PartitionedNorm(4, 2)
        >>> route = Route(torch.tensor([0, 0, -1, 1]), 2, unknown="shared")
        >>> norm(torch.rand(4, 4), route).shape
        torch.Size([4, 4])
    """

    mean: Tensor
    var: Tensor
    seen: Tensor

    def __init__(self, width: int, scenarios: int, *, momentum: float = 0.01, eps: float = 1e-5) -> None:
        super().__init__()
        self.scenarios, self.momentum, self.eps = scenarios, momentum, eps
        self.gamma, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.own_gamma = nn.Parameter(torch.ones(scenarios, width))
        self.own_beta = nn.Parameter(torch.zeros(scenarios, width))
        self.register_buffer("mean", torch.zeros(scenarios, width))
        self.register_buffer("var", torch.ones(scenarios, width))
        self.register_buffer("seen", torch.zeros(scenarios))

    def forward(self, z: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "N I"]:
        """Rows as `route.enter` gave them, normalised; `route` was made with `unknown = "shared"`."""
        if self.training and not world().alone and not route.dense:
            return self._together(z, route)
        present, group = route.present, route.group
        gamma, beta = self.gamma * self.own_gamma[present], self.beta + self.own_beta[present]
        if self.training and len(present) and not route.unknown:
            groups = _Groups(group, route.sizes, self.mean[present], self.var[present], self.eps)
            y, mean, var = _Normalise.apply(z, gamma, beta, groups)  # type: ignore[no-untyped-call]
            self._move(present, groups.rows, mean, var)
            return y  # type: ignore[no-any-return]
        return self._as_known(z, route, gamma, beta)

    def _together(self, z: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "N I"]:
        """By the moments of all processes' rows."""
        count = z.new_zeros(self.scenarios + 1)
        count[route.present] = torch.tensor(route.sizes, dtype=z.dtype, device=z.device)
        count[-1] = route.unknown
        count = world().sum(count)[:, None]
        if bool(count[-1] > 0):
            present = route.present
            return self._as_known(z, route, self.gamma * self.own_gamma[present], self.beta + self.own_beta[present])
        count = count[:-1]  # [S, 1]
        enough, scenario = count >= ENOUGH, route.present[route.group]
        none, most = z.new_zeros(self.scenarios, z.shape[1]), count.clamp(min=1)
        mean = torch.where(enough, summed(none.index_add(0, scenario, z)) / most, self.mean)
        u = z - mean[scenario]
        var = torch.where(enough, summed(none.index_add(0, scenario, u.square())) / most, self.var)
        present = torch.nonzero(count[:, 0])[:, 0]
        self._move(present, count[present], mean.detach()[present], var.detach()[present])
        gamma, beta = (self.gamma * self.own_gamma)[scenario], (self.beta + self.own_beta)[scenario]
        return u * torch.rsqrt(var + self.eps)[scenario] * gamma + beta

    def _as_known(self, z: Tensor, route: Route, gamma: Tensor, beta: Tensor) -> Tensor:
        """By running moments alone."""
        mean, var = self.mean[route.present], self.var[route.present]
        if route.dense or route.unknown:
            middle = self.mean.mean(0)
            spread = self.var.mean(0) + (self.mean - middle).square().mean(0)
            mean, var = torch.cat([mean, middle[None]]), torch.cat([var, spread[None]])
            gamma, beta = torch.cat([gamma, self.gamma[None]]), torch.cat([beta, self.beta[None]])
        scale = gamma * torch.rsqrt(var + self.eps)  # [P, I]
        return torch.addcmul((beta - mean * scale)[route.group], z, scale[route.group])

    @torch.no_grad()
    def _move(self, present: Tensor, count: Tensor, mean: Tensor, var: Tensor) -> None:
        """Move the running moments of scenarios with enough rows."""
        enough = count[:, 0] >= ENOUGH
        moved = present[enough]
        self.seen[moved] += 1
        rate = (1.0 / self.seen[moved]).clamp(min=self.momentum)[:, None]
        self.mean[moved] += rate * (mean[enough] - self.mean[moved])
        self.var[moved] += rate * (var[enough] - self.var[moved])


class _Groups(NamedTuple):
    """Rows of each scenario, side by side, and the moments of a scenario with too few of them."""

    group: Tensor  # [N]
    sizes: tuple[int, ...]
    mean: Tensor  # [P, I]
    var: Tensor
    eps: float

    @property
    def rows(self) -> Tensor:
        return torch.tensor(self.sizes, dtype=self.mean.dtype, device=self.mean.device)[:, None]  # [P, 1]


class _Normalise(torch.autograd.Function):
    """`y = gamma_s (z - mean_s) / sqrt(var_s + eps) + beta_s`, and the moments of each scenario's rows.

    Gradient, with u the normalised rows and n the rows of the scenario:
        dz = gamma / sqrt(var + eps) (dy - mean(dy) - u mean(dy u)); without the means under running moments
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, gamma: Tensor, beta: Tensor, groups: _Groups) -> tuple[Tensor, Tensor, Tensor]:
        count, group = groups.rows, groups.group
        enough = count >= ENOUGH
        mean = torch.where(enough, sums(z, groups.sizes) / count, groups.mean)
        u = z - mean.index_select(0, group)
        var = torch.where(enough, sums(u.square(), groups.sizes) / count, groups.var)
        inverse = torch.rsqrt(var + groups.eps)  # [P, I]
        u.mul_(inverse.index_select(0, group))
        y = torch.addcmul(beta.index_select(0, group), u, gamma.index_select(0, group))
        ctx.save_for_backward(u, gamma * inverse, enough / count)
        ctx.groups = groups
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        u, scale, share = ctx.saved_tensors
        group, sizes = ctx.groups.group, ctx.groups.sizes
        dbeta, dgamma = sums(dy, sizes), sums(dy * u, sizes)
        dz = dy - (dbeta * share).index_select(0, group)
        dz.addcmul_(u, (dgamma * share).index_select(0, group), value=-1.0)
        return dz.mul_(scale.index_select(0, group)), dgamma, dbeta, None
