"""Low-rank maps: one a scenario (met by its own rows only), or one a head."""

import torch
from torch import nn

from polyrec.nn.route import Route
from polyrec.shapes import Float, Tensor


def xavier_normal(weight: Tensor) -> Tensor:
    """Fill matrices `[..., I, O]` from normal(0, sqrt(2 / (I + O))) each."""
    return nn.init.normal_(weight, std=(2.0 / (weight.shape[-2] + weight.shape[-1])) ** 0.5)


class LoRA(nn.Module):
    """A bank of low-rank maps: `y = (x A_s) B_s + b_s` with s the row's scenario; A `[S, 1, I, R]`, B `[S, 1, R, O]`.

    B and b start at 0, so that every map starts as 0; with `live` B starts small instead, for nets that pass an
    activation whose slope at 0 is 0. A row of unknown scenario gets 0. Rows of one scenario are multiplied
    together: no matrix is copied a row, and a row costs R (I + O) whatever S is.

    Source: the form of Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", equation 3, without
    the frozen part.

    Example:
        >>> bank = LoRA(8, 4, 3, rank=2)
        >>> route = Route(torch.tensor([2, 0, -1]), 3, unknown="shared")
        >>> bank(torch.rand(3, 8)[route.order], route).shape
        torch.Size([3, 4])
    """

    def __init__(self, width_in: int, width_out: int, scenarios: int, *, rank: int, live: bool = False) -> None:
        super().__init__()
        self.down = nn.Parameter(xavier_normal(torch.empty(scenarios, 1, width_in, rank)))
        up = torch.zeros(scenarios, 1, rank, width_out)
        self.up = nn.Parameter(xavier_normal(up) if live else up)
        self.bias = nn.Parameter(torch.zeros(scenarios, 1, width_out))
        self.register_buffer("none", torch.zeros(scenarios, 1, rank), persistent=False)
        self.none: Tensor

    def forward(self, x: Float[Tensor, "N I"], route: Route) -> Float[Tensor, "N O"]:
        """Rows in the order of `route`, which was made with `unknown = "shared"`."""
        if route.dense:
            return self._all(x, route.known)
        inner = route.linear(x[None], (self.down, self.none))  # [1, N, R]
        return route.linear(inner, (self.up, self.bias))[0]

    def _all(self, x: Float[Tensor, "N I"], own: Float[Tensor, "N S"]) -> Float[Tensor, "N O"]:
        """All maps side by side, those of other scenarios times 0: no shape depends on data."""
        scenarios, _, width_in, rank = self.down.shape
        inner = x @ self.down[:, 0].transpose(0, 1).reshape(width_in, scenarios * rank)  # [N, S*R]
        inner = torch.unflatten(inner, 1, (scenarios, rank)) * own[:, :, None]
        return inner.flatten(1) @ self.up.flatten(0, 2) + own @ self.bias[:, 0]

    def product(self, scenario: int) -> tuple[Float[Tensor, "I O"], Float[Tensor, "O"]]:
        """`A_s B_s` and b_s: the dense map that a scenario's two matrices make."""
        return self.down[scenario, 0] @ self.up[scenario, 0], self.bias[scenario, 0]

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        scenarios, _, width_in, rank = self.down.shape
        return f"{width_in}, {self.up.shape[-1]}, scenarios={scenarios}, rank={rank}"


class HeadLoRA(nn.Module):
    """A low-rank map a head: `y_t = (x_t A_t) B_t + b_t`; A `[T, I, R]`, B `[T, R, O]`. B and b start at 0.

    Example:
        >>> HeadLoRA(3, 8, 4, rank=2)(torch.rand(5, 8)).shape
        torch.Size([3, 5, 4])
    """

    def __init__(self, heads: int, width_in: int, width_out: int, *, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(xavier_normal(torch.empty(heads, width_in, rank)))
        self.up = nn.Parameter(torch.zeros(heads, rank, width_out))
        self.bias = nn.Parameter(torch.zeros(heads, width_out))

    def forward(self, x: Float[Tensor, "*T B I"]) -> Float[Tensor, "T B O"]:
        """Each map of its own input, or all of a shared one."""
        return torch.baddbmm(self.bias[:, None], torch.matmul(x, self.down), self.up)
