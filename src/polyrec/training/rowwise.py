"""Row-wise Adagrad: one accumulator a row, and only the rows that a batch touched move."""

from collections.abc import Iterable

import torch
from torch import nn

from polyrec.shapes import Float, Int, Tensor


class RowwiseAdagrad:
    """Adagrad whose accumulator is one number a row, for tables with sparse gradients.

    Formula:
        g = the summed gradient of a row (+ decay * row);  a += mean_d g_d^2;  row -= lr * g / (sqrt(a) + eps)

    A row that the batch did not touch keeps its value and its accumulator: work is of the order of the ids in
    the batch, not of the table. On one thread the result is the same every time.

    Args:
        tables: parameters `[rows, D]` whose gradients are sparse.
        lr: step size.
        decay: L2 on the touched rows.
        eps: keeps the first steps finite.

    Source: Mudigere et al. 2022, "Software-Hardware Co-design for Fast and Scalable Training of Deep Learning
    Recommendation Models" (row-wise Adagrad); Duchi et al. 2011 (Adagrad).

    Example:
        >>> table = nn.Parameter(torch.ones(3, 2))
        >>> torch.nn.functional.embedding(torch.tensor([1, 1]), table, sparse=True).sum().backward()
        >>> RowwiseAdagrad([table], lr=0.5).step()
        >>> table[:, 0].tolist()
        [1.0, 0.5, 1.0]
    """

    def __init__(self, tables: Iterable[nn.Parameter], lr: float, decay: float = 0.0, eps: float = 1e-8) -> None:
        self.tables = list(tables)
        self.lr = lr
        self.decay = decay
        self.eps = eps
        self.sums = [table.new_zeros(table.shape[0]) for table in self.tables]

    @torch.no_grad()
    def step(self, factor: float = 1.0) -> None:
        """Move the touched rows by `factor * lr`, and forget the gradients."""
        for table, sums in zip(self.tables, self.sums, strict=True):
            if table.grad is None:
                continue
            # The gradient is taken apart as it is: coalescing it would sort and sum rows a second time.
            rows, values = table.grad._indices()[0], table.grad._values()
            table.grad = None
            if len(rows) and len(sums) <= len(rows) and not self.decay:
                self._whole(table, sums, rows, values, factor * self.lr)
            elif len(rows):
                self._touched(table, sums, rows, values, factor * self.lr)

    def _whole(
        self,
        table: Float[Tensor, "N D"],
        sums: Float[Tensor, "N"],
        rows: Int[Tensor, "V"],
        values: Float[Tensor, "V D"],
        lr: float,
    ) -> None:
        """A table smaller than its batch: untouched rows have gradient 0, which moves nothing."""
        gradient = torch.zeros_like(table).index_add_(0, rows, values)
        sums += gradient.square().mean(1)
        table.addcdiv_(gradient, (sums.sqrt() + self.eps)[:, None], value=-lr)

    def _touched(
        self,
        table: Float[Tensor, "N D"],
        sums: Float[Tensor, "N"],
        rows: Int[Tensor, "V"],
        values: Float[Tensor, "V D"],
        lr: float,
    ) -> None:
        touched, place = torch.unique(rows, return_inverse=True)
        gradient = values.new_zeros(len(touched), values.shape[1]).index_add_(0, place, values)
        if self.decay:
            gradient.add_(table[touched], alpha=self.decay)
        total = sums[touched] + gradient.square().mean(1)
        sums[touched] = total
        table.index_add_(0, touched, gradient / (total.sqrt() + self.eps)[:, None], alpha=-lr)
