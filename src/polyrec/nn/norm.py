"""Normalisation whose statistics belong to a scenario."""

import torch
from torch import nn

from polyrec.nn.route import Route
from polyrec.shapes import Float, Tensor


class PartitionedNorm(nn.Module):
    """`z' = gamma gamma_s (z - mean_s) / sqrt(var_s + eps) + beta + beta_s`, s the row's scenario.

    In training, mean and variance (biased) are those of the scenario's rows in the batch, and running ones are
    kept; a scenario with fewer than two rows uses its running ones. When scoring, the running ones alone: a
    row's score does not depend on its batch-mates. An unknown scenario gets the moments of all scenarios
    pooled in equal parts, and the shared gamma and beta.

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
        present, group = route.present, route.group
        mean, var = self.mean[present], self.var[present]
        if self.training and len(present):
            mean, var = self._of_batch(z, group, present, (mean, var))
        gamma, beta = self.gamma * self.own_gamma[present], self.beta + self.own_beta[present]
        if route.dense or route.unknown:
            middle = self.mean.mean(0)
            spread = self.var.mean(0) + (self.mean - middle).square().mean(0)
            mean, var = torch.cat([mean, middle[None]]), torch.cat([var, spread[None]])
            gamma, beta = torch.cat([gamma, self.gamma[None]]), torch.cat([beta, self.beta[None]])
        scale = gamma * torch.rsqrt(var + self.eps)  # [P, I]
        return torch.addcmul((beta - mean * scale)[group], z, scale[group])

    def _of_batch(
        self, z: Tensor, group: Tensor, present: Tensor, running: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Moments of each scenario's rows, which also move the running ones; one row keeps the running ones."""
        known = group < len(present)
        z, group = z[known], group[known]
        count = torch.bincount(group, minlength=len(present)).to(z.dtype)[:, None]  # [P, 1]
        mean = z.new_zeros(len(present), z.shape[1]).index_add(0, group, z) / count
        var = z.new_zeros(mean.shape).index_add(0, group, (z - mean[group]).square()) / count
        enough = count[:, 0] >= 2
        with torch.no_grad():
            moved = present[enough]
            self.seen[moved] += 1
            rate = (1.0 / self.seen[moved]).clamp(min=self.momentum)[:, None]
            self.mean[moved] += rate * (mean[enough] - self.mean[moved])
            self.var[moved] += rate * (var[enough] - self.var[moved])
        return torch.where(enough[:, None], mean, running[0]), torch.where(enough[:, None], var, running[1])
