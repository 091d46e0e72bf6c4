"""A table whose rows are dealt out to several processes: each holds its own, and asks the others for theirs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from polyrec.distributed import World, world
from polyrec.nn.table import INIT_STD, Table
from polyrec.shapes import Float, Int, Tensor

BLOCK = 65_536  # rows drawn or gathered at a time
_NARROW = 2**31


class ShardedTable(Table):
    """`Table`, of which process r of N holds the rows r, r + N, r + 2 N, ... alone: `weight` is those.

    A lookup is an exchange: every process makes the same lookups in the same order, of whatever ids, also of none. It
    asks each owner once for each distinct row; the gradient goes back in `owned`. Where the first process works alone
    (`World.from_first`), the others answer its lookups. Fresh rows are those of `Table` from the same random state.

    Between backward and `owned`, the indices of the sparse gradient are keys: places in the shards of all processes
    laid end to end, each of `each` rows. They lie outside of the shard, and only `owned` knows what to do with them.

    Args:
        rows: of the whole table.
        dim: D.
        zero: rows that start at 0.
        here: the processes.
    """

    def __init__(self, rows: int, dim: int, *, zero: Sequence[int] = (0,), here: World) -> None:
        self.here = here
        super().__init__(rows, dim, zero=zero)
        self.each = -(-rows // here.size)
        self._kind = torch.int32 if self.each * here.size < _NARROW else torch.int64
        self._number = here.enlist(self._answer)

    def _drawn(self, zero: Sequence[int]) -> Float[Tensor, "O D"]:
        rank, size = self.here.rank, self.here.size
        weight = torch.empty(len(range(rank, self.rows, size)), self.dim)
        for start, stop in _blocks(self.rows):
            part = torch.empty(stop - start, self.dim)
            nn.init.normal_(part, std=INIT_STD)
            first = (rank - start) % size
            mine = part[first::size]
            at = (start + first) // size
            weight[at : at + len(mine)] = mine
        weight[[row // size for row in zero if row < self.rows and row % size == rank]] = 0.0
        return weight

    def forward(self, ids: Int[Tensor, "*any"]) -> Float[Tensor, "*any D"]:
        """The rows of these ids."""
        rows, places = self._read(ids)
        return functional.embedding(places, rows)

    def mean(self, values: Int[Tensor, "V"], offsets: Int[Tensor, "B1"]) -> Float[Tensor, "B D"]:
        """The mean of each sequence's rows; 0 for an empty sequence."""
        rows, places = self._read(values)
        return functional.embedding_bag(places, rows, offsets.long(), mode="mean", include_last_offset=True)

    def owned(self, keys: Int[Tensor, "K"], sums: Float[Tensor, "K D"]) -> Tensor:
        """The sparse gradient of this process's rows, from what every process has for each key, in rising order."""
        counts = self._counts(keys)
        places, coming = self.here.exchange((keys % self.each).to(self._kind), counts)
        return _sparse(places, self.here.exchange(sums, counts, coming)[0], self.weight.shape)

    def blocks(self) -> Iterator[Float[Tensor, "K D"]]:
        """All rows of the whole table in order, some at a time: for the first process alone, or for all alike."""
        for start, stop in _blocks(self.rows):
            with torch.no_grad():
                block = self(torch.arange(start, stop, device=self.weight.device))
            yield block

    def _read(self, ids: Int[Tensor, "*any"]) -> tuple[Float[Tensor, "K D"], Int[Tensor, "*any"]]:
        """Each row that is read once, and for each id the place of its row among them."""
        size, ids = self.here.size, ids.to(self._kind)
        keys, places = torch.unique(ids % size * self.each + ids // size, return_inverse=True)
        return cast(Tensor, _Read.apply(self.weight, keys, self)), places  # type: ignore[no-untyped-call]

    def fetch(self, keys: Int[Tensor, "K"]) -> Float[Tensor, "K D"]:
        """The rows of distinct keys in rising order."""
        self.here.summon(self._number)
        counts = self._counts(keys)
        asked, coming = self.here.exchange(keys % self.each, counts)
        return self.here.exchange(self.weight.detach().index_select(0, asked), coming, counts)[0]

    def _answer(self) -> None:
        self.fetch(torch.empty(0, dtype=self._kind, device=self.weight.device))

    def _counts(self, keys: Int[Tensor, "K"]) -> list[int]:
        edges = torch.arange(self.here.size + 1, device=keys.device) * self.each
        found: list[int] = torch.searchsorted(keys, edges.to(keys.dtype)).diff().tolist()
        return found

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        """Of a whole table the own rows."""
        given = state_dict.get(f"{prefix}weight")
        if given is not None and len(given) == self.rows:
            state_dict = {**state_dict, f"{prefix}weight": given[self.here.rank :: self.here.size]}
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class _Read(torch.autograd.Function):
    """Rows from their owners; their gradient stays here until `ShardedTable.owned`."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, keys: Tensor, table: ShardedTable) -> Tensor:
        ctx.save_for_backward(keys)
        ctx.shape = weight.shape
        return table.fetch(keys)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _sparse(ctx.saved_tensors[0], gradient, ctx.shape), None, None


def _sparse(rows: Int[Tensor, "K"], values: Float[Tensor, "K D"], shape: Sequence[int]) -> Tensor:
    return torch.sparse_coo_tensor(rows.long()[None], values, tuple(shape), check_invariants=False)


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    """From, to. The last block takes the rest in, so that drawing block by block draws what drawing at once does."""
    for start in range(0, max(rows // BLOCK, 1) * BLOCK, BLOCK):
        yield start, start + BLOCK if start + 2 * BLOCK <= rows else rows


def sharded(module: nn.Module) -> dict[str, ShardedTable]:
    """Tables that are dealt out, by the names of their weights in the module's state."""
    found = ((name, one) for name, one in module.named_modules() if isinstance(one, ShardedTable))
    return {f"{name}.weight" if name else "weight": one for name, one in found}


def parameter_count(module: nn.Module) -> int:
    """Parameters of a module, whole tables included.

    Example:
        >>> parameter_count(Table(5, 3))
        15
    """
    away = sum((one.rows - len(one.weight)) * one.dim for one in sharded(module).values())
    return away + sum(one.numel() for one in module.parameters())


_LEAST: list[int | None] = [None]
_PLANNED: list[bool] = [False]


@contextmanager
def sharding(rows: int | None) -> Iterator[None]:
    """While it lasts, tables of at least so many rows are dealt out to the processes as they are built."""
    _LEAST.append(rows)
    try:
        yield
    finally:
        _LEAST.pop()


@contextmanager
def planned() -> Iterator[None]:
    """While it lasts, tables are built without memory: their sizes alone are asked for."""
    _PLANNED.append(True)
    try:
        yield
    finally:
        _PLANNED.pop()


def table(rows: int, dim: int, *, zero: Sequence[int] = (0,), sparse: bool = True) -> Table:
    """A table, sharded where the processes and `sharding` say so."""
    if _PLANNED[-1]:
        with torch.device("meta"):
            return Table(rows, dim, zero=zero, sparse=sparse)
    here, least = world(), _LEAST[-1]
    if sparse and least is not None and rows >= least and here.shares:
        return ShardedTable(rows, dim, zero=zero, here=here)
    return Table(rows, dim, zero=zero, sparse=sparse)
