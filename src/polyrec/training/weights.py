"""Weights from elsewhere into a module, or in words why they do not fit."""

from collections.abc import Mapping

from torch import nn

from polyrec.shapes import Tensor


def misfit(module: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """What keeps `weights` from being the state of `module`: one name that is missing, left over or of another shape.

    Example:
        >>> import torch
        >>> misfit(nn.Linear(2, 1), {"weight": torch.zeros(1, 3), "bias": torch.zeros(1)})
        "'weight' is [1, 3] there and [1, 2] here"
        >>> misfit(nn.Linear(2, 1), {"weight": torch.zeros(1, 2)})
        "'bias' is only here"
    """
    mine = module.state_dict()
    for name in (*mine, *weights):
        if name not in weights:
            return f"{name!r} is only here"
        if name not in mine:
            return f"{name!r} is only there"
        if mine[name].shape != weights[name].shape:
            return f"{name!r} is {list(weights[name].shape)} there and {list(mine[name].shape)} here"
    return None
