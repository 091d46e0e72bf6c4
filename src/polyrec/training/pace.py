"""Parts of a model or an objective that change as training goes on."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Paced(Protocol):
    """A module that is told, before each step, how far its stage has come.

    What it makes of it (a temperature, a ramp) belongs in a buffer: scoring then needs no pace, and a checkpoint
    and a bundle have it.

    Example:
        >>> import torch
        >>> class Ramp(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.register_buffer("strength", torch.zeros(()))
        ...     def pace(self, epoch: float, epochs: int) -> None:
        ...         self.strength.fill_(epoch / epochs)
        >>> isinstance(Ramp(), Paced), isinstance(torch.nn.ReLU(), Paced)
        (True, False)
    """

    def pace(self, epoch: float, epochs: int) -> None:
        """`epoch`: epochs begun and the share of this one that is done, in [0, epochs)."""
        ...
