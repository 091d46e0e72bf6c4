"""Embedding tables: fields of one width share one physical table, read by one lookup."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from polyrec.nn.sharded import table
from polyrec.nn.table import Table
from polyrec.shapes import Float, Int, Tensor

_INT32_ROWS = 2**31 - 1


class FusedEmbedding(nn.Module):
    """Many fields, one table for each width, one lookup for all ids of a width.

    Field f's rows lie at `[start_f, start_f + size_f)` of its width's table. A field with an owner reads the
    owner's rows. With `copies = C` everything exists C times over and a row reads the copy it names
    (networks that share nothing between scenarios).

    Args:
        sizes: rows of each field.
        dims: width of each field.
        owners: for each field the place of the field whose rows it reads; itself when it has its own.
        copies: C.
        sparse: sparse gradients.

    Example:
        >>> fields = FusedEmbedding([10, 20, 5], [4, 4, 2])
        >>> sorted(table.weight.shape for table in fields.tables.values())
        [torch.Size([5, 2]), torch.Size([30, 4])]
        >>> [part.shape[-1] for part in fields(torch.zeros(7, 3, dtype=torch.int32), [0, 1, 2])]
        [8, 2]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        dims: Sequence[int],
        *,
        owners: Sequence[int] | None = None,
        copies: int = 1,
        sparse: bool = True,
    ) -> None:
        super().__init__()
        self.dims, self.copies = tuple(dims), copies
        self.starts, self.rows = _places(sizes, dims, owners or range(len(sizes)))
        self.tables = nn.ModuleDict()
        for dim, rows in self.rows.items():
            firsts = {start for start, width in zip(self.starts, self.dims, strict=True) if width == dim}
            zero = [copy * rows + first for copy in range(copies) for first in sorted(firsts)]
            self.tables[str(dim)] = table(rows * copies, dim, zero=zero, sparse=sparse)
        wide = max(self.rows.values(), default=0) * copies > _INT32_ROWS
        self.kind = torch.int64 if wide else torch.int32

    def groups(self, fields: Sequence[int]) -> Mapping[int, list[int]]:
        """These fields by width, widths in order of appearance: the order of what `forward` answers."""
        found: dict[int, list[int]] = {}
        for field in fields:
            found.setdefault(self.dims[field], []).append(field)
        return found

    def forward(
        self, ids: Int[Tensor, "B F"], fields: Sequence[int], copy: Int[Tensor, "B"] | None = None
    ) -> list[Float[Tensor, "B _"]]:
        """Rows of the ids, one tensor for each width; column f of `ids` belongs to `fields[f]`."""
        parts = []
        for dim, members in self.groups(fields).items():
            columns = [list(fields).index(field) for field in members]
            chosen = ids if len(members) == len(fields) else ids[:, columns]
            chosen = chosen.to(self.kind) + self._starts(members, ids.device)
            if copy is not None:
                chosen = chosen + (copy.to(self.kind) * self.rows[dim])[:, None]
            parts.append(self.tables[str(dim)](chosen).flatten(1))  # [B, F*D]
        return parts

    def pooled(
        self,
        bags: Sequence[tuple[Int[Tensor, "_"], Int[Tensor, "_"]]],
        fields: Sequence[int],
        rows: int | torch.SymInt,
        copy: Int[Tensor, "B"] | None = None,
    ) -> list[Float[Tensor, "B _"]]:
        """Means of the sequences of `rows` rows, one tensor for each width; bag f belongs to `fields[f]`."""
        parts = []
        for dim, members in self.groups(fields).items():
            chosen = []
            for field in members:
                values, offsets = bags[list(fields).index(field)]
                values = values.to(self.kind) + self.starts[field]
                if copy is not None:
                    values = values + copy[_owners(offsets, values)].to(self.kind) * self.rows[dim]
                chosen.append((values, offsets.to(self.kind)))
            parts += self._means(self.tables[str(dim)], chosen, rows)
        return parts

    def places(self, old: "FusedEmbedding") -> dict[str, Int[Tensor, "R"]]:
        """Where each row of `old`, which has fewer values or copies, lies here: ids never move within a field.

        Example:
            >>> old, new = FusedEmbedding([2, 3], [4, 4]), FusedEmbedding([3, 3], [4, 4])
            >>> new.places(old)["tables.4.weight"].tolist()
            [0, 1, 3, 4, 5]
        """
        found = {}
        for dim, rows in old.rows.items():
            pairs = zip(old.starts, self.starts, old.dims, strict=True)
            shifts = dict(sorted((start, here - start) for start, here, width in pairs if width == dim))
            bounds = torch.tensor([*shifts, rows])
            inside = torch.arange(rows) + torch.tensor(list(shifts.values())).repeat_interleave(bounds.diff())
            copies = torch.arange(old.copies) * self.rows[dim]
            found[f"tables.{dim}.weight"] = (copies[:, None] + inside).flatten()
        return found

    def _means(self, table: nn.Module, bags: list[tuple[Tensor, Tensor]], rows: int | torch.SymInt) -> list[Tensor]:
        assert isinstance(table, Table)
        if torch.compiler.is_exporting():
            return [_open_mean(table(values), offsets, rows) for values, offsets in bags]
        if len(bags) == 1:
            return [table.mean(*bags[0])]
        ends, total = [], 0
        for values, offsets in bags:
            ends.append(offsets[:-1] + total)
            total += values.shape[0]
        ends.append(torch.full((1,), total, dtype=self.kind, device=ends[0].device))
        mean = table.mean(torch.cat([values for values, _ in bags]), torch.cat(ends))  # [F*B, D]
        return [torch.unflatten(mean, 0, (len(bags), -1)).transpose(0, 1).flatten(1)]

    def _starts(self, fields: Sequence[int], device: torch.device) -> Int[Tensor, "F"]:
        return torch.tensor([self.starts[field] for field in fields], dtype=self.kind, device=device)


def _owners(offsets: Int[Tensor, "B1"], values: Tensor) -> Int[Tensor, "V"]:
    """The row that each value of a sequence belongs to."""
    if torch.compiler.is_exporting():  # ONNX has no search: count the rows that begin at or before each value
        begins = torch.zeros(values.shape[0] + 1, dtype=torch.int64)
        ones = torch.ones(offsets.shape[0], dtype=torch.int64)
        return torch.cumsum(begins.scatter_add(0, offsets.long(), ones), 0)[:-1] - 1
    place = torch.arange(values.shape[0], dtype=offsets.dtype, device=offsets.device)
    return torch.searchsorted(offsets, place, right=True) - 1


def _open_mean(
    values: Float[Tensor, "V D"], offsets: Int[Tensor, "B1"], rows: int | torch.SymInt
) -> Float[Tensor, "B D"]:
    """`Table.mean` without a shape that is computed from another: an exported program then takes any B."""
    row = _owners(offsets, values)
    total = values.new_zeros(rows, values.shape[1]).index_add(0, row, values)
    count = values.new_zeros(rows).index_add(0, row, torch.ones_like(values[:, 0]))
    return total / count.clamp(min=1.0)[:, None]


def _places(sizes: Sequence[int], dims: Sequence[int], owners: Sequence[int]) -> tuple[list[int], dict[int, int]]:
    """Where each field's rows start in its width's table, and how many rows each width has."""
    rows: dict[int, int] = {}
    starts = [0] * len(sizes)
    for place, (size, dim, owner) in enumerate(zip(sizes, dims, owners, strict=True)):
        if owner == place:
            starts[place] = rows.get(dim, 0)
            rows[dim] = starts[place] + size
    for place, owner in enumerate(owners):
        starts[place] = starts[owner]
    return starts, rows
