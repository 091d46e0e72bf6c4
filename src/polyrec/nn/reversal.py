"""A layer through which gradients pass with the other sign."""

from typing import Any

import torch

from polyrec.shapes import Float, Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        del ctx
        return -gradient[0]


def reversal(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The rows as they are; their gradient comes back times -1.

    What reads the answer learns; what made the rows learns to thwart it.

    Source: Ganin and Lempitsky 2015, "Unsupervised Domain Adaptation by Backpropagation".

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> (3 * reversal(x)).sum().backward()
        >>> x.grad.tolist()
        [-3.0, -3.0]
    """
    turned: Tensor = _Reversal.apply(x)  # type: ignore[no-untyped-call]
    return turned
