"""One embedding table."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from polyrec.shapes import Float, Int, Tensor

INIT_STD = 0.02  # of a fresh row; wide enough to tell ids apart, small enough that the first logits stay near 0


class Table(nn.Module):
    """A matrix with one row of `dim` numbers an id.

    `row = weight[id]`. Rows start at normal(0, 0.02); those named in `zero` (out of vocabulary) at 0.
    With `sparse`, the gradient is sparse: a step costs what the batch touches, not what the table holds.

    Example:
        >>> table = Table(5, 3)
        >>> table(torch.tensor([[0, 4]])).shape, bool((table.weight[0] == 0).all())
        (torch.Size([1, 2, 3]), True)
    """

    def __init__(self, rows: int, dim: int, *, zero: Sequence[int] = (0,), sparse: bool = True) -> None:
        super().__init__()
        self.rows, self.dim, self.sparse = rows, dim, sparse
        self.weight = nn.Parameter(self._drawn(zero))

    def _drawn(self, zero: Sequence[int]) -> Float[Tensor, "R D"]:
        """Fresh rows."""
        weight = torch.empty(self.rows, self.dim)
        nn.init.normal_(weight, std=INIT_STD)
        weight[[row for row in zero if row < self.rows]] = 0.0
        return weight

    def forward(self, ids: Int[Tensor, "*any"]) -> Float[Tensor, "*any D"]:
        """The rows of these ids."""
        return functional.embedding(ids, self.weight, sparse=self.sparse)

    def mean(self, values: Int[Tensor, "V"], offsets: Int[Tensor, "B1"]) -> Float[Tensor, "B D"]:
        """The mean of each sequence's rows; 0 for an empty sequence."""
        return functional.embedding_bag(
            values, self.weight, offsets, mode="mean", sparse=self.sparse, include_last_offset=True
        )

    def extra_repr(self) -> str:
        """Sizes, for `print(model)`."""
        return f"{self.rows}, {self.dim}, sparse={self.sparse}"
