"""Row-wise Adagrad: a step costs what the batch touches, whatever the table holds."""

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from polyrec.errors import ConfigError
from polyrec.shapes import Float, Int, Tensor

_NARROW = 2**31


class RowwiseAdagrad:
    """Adagrad with one accumulator a row, on the sparse gradients of embedding tables.

    Formula:
        for each row r that the batch reads, with G_r the sum of its gradients plus decay * w_r:
        a_r <- a_r + mean_d(G_rd^2);  w_r <- w_r - lr G_r / (sqrt(a_r) + eps)
        Rows that the batch does not read stay as they are, decay included.

    The same numbers on every run: rows are sorted once (stably) and each row's gradients are added in the
    order of the batch.

    Args:
        tables: weights [rows, D] by name.
        lr: learning rate.
        eps: keeps the division away from 0.
        decay: L2 on the rows that a batch reads.

    Source:
        Duchi et al., JMLR 2011, with the accumulator of each row averaged over its columns, as in the
        row-wise variant of large recommenders (Naumov et al., 2019, DLRM).

    Example:
        >>> table = nn.Embedding(4, 2, sparse=True)
        >>> optimizer = RowwiseAdagrad({"table": table.weight}, lr=0.1)
        >>> before = table.weight.detach().clone()
        >>> table(torch.tensor([1, 1, 3])).sum().backward()
        >>> optimizer.step()
        >>> (table.weight != before).any(1).tolist()
        [False, True, False, True]
    """

    def __init__(self, tables: Mapping[str, nn.Parameter], *, lr: float, eps: float = 1e-8, decay: float = 0.0) -> None:
        self.tables = dict(tables)
        self.lr = lr
        self.eps = eps
        self.decay = decay
        self.sums = {name: one.new_zeros(one.shape[0], requires_grad=False) for name, one in tables.items()}

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> None:
        """One update of every table that has a gradient, with the learning rate times `scale`.

        Raises:
            ConfigError: a gradient that is not sparse.
        """
        for name, weight in self.tables.items():
            if weight.grad is None:
                continue
            if not weight.grad.is_sparse:
                raise ConfigError(
                    f"table {name!r} has a dense gradient: row-wise Adagrad takes sparse ones. "
                    "Build the model with sparse tables, or set [training] tables = 'dense'."
                )
            ids = weight.grad._indices()[0]
            if weight.shape[0] < _NARROW:
                ids = ids.to(torch.int32)  # sorts twice as fast
            self._update(weight, self.sums[name], *summed(ids, weight.grad._values()), self.lr * scale)

    def _update(
        self, weight: nn.Parameter, sums: Tensor, rows: Int[Tensor, "K"], gradient: Float[Tensor, "K D"], lr: float
    ) -> None:
        values = weight.index_select(0, rows)  # [K, D]
        if self.decay:
            gradient.add_(values, alpha=self.decay)
        sum_ = sums.index_select(0, rows).add_(gradient.square().mean(1))  # [K]
        sums.index_copy_(0, rows, sum_)
        values.addcdiv_(gradient, sum_.sqrt_().add_(self.eps)[:, None], value=-lr)
        weight.index_copy_(0, rows, values)


def summed(ids: Int[Tensor, "V"], gradients: Float[Tensor, "V D"]) -> tuple[Int[Tensor, "K"], Float[Tensor, "K D"]]:
    """Each id once, in rising order, with the sum of its gradients.

    Example:
        >>> ids, sums = summed(torch.tensor([3, 1, 3]), torch.tensor([[1.0], [2.0], [4.0]]))
        >>> ids.tolist(), sums.tolist()
        ([1, 3], [[2.0], [5.0]])
    """
    ordered, order = torch.sort(ids, stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    torch.ne(ordered[1:], ordered[:-1], out=first[1:])
    starts = first.nonzero()[:, 0].to(order.dtype)
    if len(ids) == 0:
        return ordered.long(), gradients
    sums = functional.embedding_bag(order, gradients, starts, mode="sum")
    return ordered[starts].long(), sums
