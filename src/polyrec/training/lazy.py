"""Adam for weights of which a batch reads a part: a scenario that is absent from it stands still."""

from collections.abc import Mapping

import torch
from torch import nn

from polyrec.shapes import Tensor

_FIRST, _SECOND, _EPS = 0.9, 0.999, 1e-8  # Adam's own


class LazyAdam:
    """Adam with a step count, moments and bias correction for each scenario of weights [S, ...].

    Formula, for each scenario s whose gradient G_s is not 0:
        t_s <- t_s + 1;  m_s <- 0.9 m_s + 0.1 G_s;  v_s <- 0.999 v_s + 0.001 G_s^2
        w_s <- w_s - lr m_s / (1 - 0.9^t_s) / (sqrt(v_s / (1 - 0.999^t_s)) + 1e-8)
        A scenario without a gradient keeps weights and moments, decay included.

    Plain Adam counts every step for every scenario. One that comes once in n steps, n large, then moves by about
    `lr 0.1 / sqrt(0.001) / (1 - 0.9)`, 31 times the learning rate, for each batch of its own: the momentum goes on
    through the steps of others, and v has forgotten that such gradients come.

    Args:
        parameters: weights [S, ...] by name.
        decays: L2 by name, added to the gradient; 0 where missing.
        ratios: times the learning rate, by name; 1 where missing.

    Source: Kingma and Ba, ICLR 2015, with the lazy update that sparse implementations of it have for rows of tables.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2, 3))
        >>> optimizer = LazyAdam({"w": weight})
        >>> weight[1].sum().backward()
        >>> optimizer.step(0.1)
        >>> [round(one, 4) for one in weight[:, 0].tolist()]
        [0.0, -0.1]
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        decays: Mapping[str, float] | None = None,
        ratios: Mapping[str, float] | None = None,
    ) -> None:
        self.parameters = dict(parameters)
        self.decays, self.ratios = decays or {}, ratios or {}
        self.moments = {
            name: {
                "first": torch.zeros_like(one, requires_grad=False),
                "second": torch.zeros_like(one, requires_grad=False),
                "steps": one.new_zeros(len(one), requires_grad=False),
            }
            for name, one in self.parameters.items()
        }

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update of every scenario that has a gradient."""
        for name, weight in self.parameters.items():
            if weight.grad is None:
                continue
            here = torch.nonzero(weight.grad.flatten(1).any(1))[:, 0]
            if len(here):
                self._update(name, weight, here, lr * self.ratios.get(name, 1.0))

    def take(self, name: str, adam: Mapping[str, Tensor]) -> None:
        """Go on with what plain Adam knew of a weight, as when the run's only scenario gets others beside it.

        A scenario without a second moment has taken no step.
        """
        moments = self.moments[name]
        moments["first"].copy_(adam["exp_avg"])
        moments["second"].copy_(adam["exp_avg_sq"])
        moments["steps"].copy_(adam["step"] * moments["second"].flatten(1).any(1))

    def _update(self, name: str, weight: nn.Parameter, here: Tensor, lr: float) -> None:
        assert weight.grad is not None
        moments = self.moments[name]
        gradient, values = weight.grad.index_select(0, here), weight.index_select(0, here)
        if self.decays.get(name):
            gradient = gradient.add(values, alpha=self.decays[name])
        first = moments["first"].index_select(0, here).lerp_(gradient, 1 - _FIRST)
        second = moments["second"].index_select(0, here).lerp_(gradient.square(), 1 - _SECOND)
        steps = moments["steps"].index_select(0, here).add_(1)
        for key, one in (("first", first), ("second", second), ("steps", steps)):
            moments[key].index_copy_(0, here, one)
        steps = steps.view(-1, *(1 for _ in weight.shape[1:]))
        scale = (second / (1 - _SECOND**steps)).sqrt_().add_(_EPS).mul_(1 - _FIRST**steps)
        weight.index_copy_(0, here, values.addcdiv_(first, scale, value=-lr))
