"""Gradients of all processes as one: dense ones summed in one message, tables' by the rows that were touched."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from polyrec.distributed import World
from polyrec.nn.sharded import ShardedTable
from polyrec.shapes import Float, Int, Tensor
from polyrec.training.rowwise import summed


class Reduce:
    """Gives every process the gradients of the whole batch, the same numbers to all.

    A parameter that no process's rows reach has no gradient, as in one process. What objective and balancer own gets
    its whole gradient at every process already (see `Spread`): the mean keeps it in step. Of a table with sparse
    gradients, each process sends every row that it touched once, with the sum of the row's gradients.

    Of a sharded table, it sends them to the process whose rows they are, and gets those of its own.

    Args:
        world: the processes.
        dense: parameters by name ("model.", "objective.", "balancer." first).
        tables: parameters with sparse gradients.
        sharded: those of which each process holds a part.
    """

    def __init__(
        self,
        world: World,
        dense: Mapping[str, nn.Parameter],
        tables: Mapping[str, nn.Parameter],
        sharded: Iterable[ShardedTable] = (),
    ) -> None:
        self.world = world
        self.sharded = {id(one.weight): one for one in sharded}
        self.dense, self.tables = dict(dense), list(tables.values())
        self.bytes = 0  # of tables' rows that this process has sent

    def step(self, flags: Sequence[bool], *, idle: bool) -> list[bool]:
        """Make every `grad` that of the whole batch.

        Args:
            flags: wishes of this process.
            idle: whether this process had no rows.

        Returns:
            For each flag, whether any process wishes so.
        """
        kinds = dict.fromkeys([torch.float32, *(one.dtype for one in self.dense.values())])
        raised = list(flags)
        for place, kind in enumerate(kinds):
            names = [name for name, one in self.dense.items() if one.dtype == kind]
            wishes = self._bucket(names, kind, flags if place == 0 else (), idle=idle)
            raised = wishes if place == 0 else raised
        for table in self.tables:
            self._table(table)
        return raised

    def _bucket(self, names: Sequence[str], kind: torch.dtype, flags: Sequence[bool], *, idle: bool) -> list[bool]:
        given = [self.dense[name] for name in names]
        device = given[0].device if given else None
        reached = [one.grad is not None and not idle for one in given]
        extra = torch.tensor([*map(float, reached), *map(float, flags)], dtype=kind, device=device)
        parts = []
        for name, one in zip(names, given, strict=True):
            grad = torch.zeros_like(one) if one.grad is None else one.grad
            parts.append((grad if name.startswith("model.") else grad / self.world.size).flatten())
        whole = self.world.sum(torch.cat([*parts, extra]))
        sizes = [one.numel() for one in given]
        *grads, told = torch.split(whole, [*sizes, len(extra)])
        wishes = [one > 0 for one in told.tolist()]
        for one, grad, any_reached in zip(given, grads, wishes, strict=False):
            one.grad = grad.view_as(one) if any_reached else None
        return wishes[len(names) :]

    def _table(self, table: nn.Parameter) -> None:
        ids, sums = touched(table)
        if id(table) in self.sharded:
            table.grad = self.sharded[id(table)].owned(ids, sums)
            return
        counts = self.world.counts(len(ids))
        self.bytes += (len(counts) - 1) * len(ids) * (ids.element_size() + sums.element_size() * sums.shape[1])
        every = torch.cat(self.world.gather(ids, counts)), torch.cat(self.world.gather(sums, counts))
        table.grad = torch.sparse_coo_tensor(every[0][None], every[1], table.shape, check_invariants=False)


def touched(table: nn.Parameter) -> tuple[Int[Tensor, "K"], Float[Tensor, "K D"]]:
    """Each row that has a gradient once, with the sum of its gradients."""
    if table.grad is None:
        return torch.empty(0, dtype=torch.int64, device=table.device), table.new_empty(0, table.shape[1]).detach()
    return summed(table.grad._indices()[0], table.grad._values())
