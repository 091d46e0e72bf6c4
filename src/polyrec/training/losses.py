"""The terms of the last steps, looked at together: reading a number at every step would stall the device."""

from collections.abc import Mapping
from math import isfinite

import torch

from polyrec.errors import ConfigError
from polyrec.shapes import Float, Tensor


class Losses:
    """Collects the terms of each step until they are told.

    Example:
        >>> losses = Losses()
        >>> losses.add({"click": torch.tensor(1.0)})
        >>> losses.add({"click": torch.tensor(3.0)})
        >>> losses.means(step=2)
        {'click': 2.0}
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.held: list[Float[Tensor, T]] = []

    def __len__(self) -> int:
        return len(self.held)

    def add(self, terms: Mapping[str, Float[Tensor, ""]]) -> None:
        """Hold a step's terms, without reading them."""
        self.names = tuple(terms)
        self.held.append(torch.stack([term.detach() for term in terms.values()]))

    def means(self, step: int) -> dict[str, float]:
        """The mean of each term over the held steps, which are forgotten.

        Args:
            step: how many steps have been made, the held ones included.

        Raises:
            ConfigError: a term was not a number; which one, at which step, and what to do.
        """
        table = torch.stack(self.held).double().cpu()  # [held, T]
        self.held = []
        bad = (~table.isfinite()).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise ConfigError(
                f"the loss of term {self.names[column]!r} is {float(table[row, column])} at step "
                f"{step - len(table) + row + 1}: it must be a finite number. Lower training.lr or "
                "training.table_lr, or set training.clip; `polyrec inspect` names columns with extreme values."
            )
        return dict(zip(self.names, table.mean(0).tolist(), strict=True))

    def finite(self) -> bool:
        """Whether every held term is a number."""
        return all(isfinite(value) for one in self.held for value in one.tolist())
