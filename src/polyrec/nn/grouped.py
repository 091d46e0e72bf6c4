"""Each group of rows times its own matrix, on a CPU: one autograd node for all groups, nothing copied on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from polyrec.shapes import Float, Int, Tensor

Pair = tuple[Tensor, Tensor]  # weight, bias
FEW_GROUPS = 32  # summed one by one, on all threads; more are summed together


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows in groups, side by side: first those multiplied one by one, then small ones that are padded together.

    Attributes:
        present: the matrix of each group [P].
        sizes: rows of each group.
        matrices: the same as `present`, as plain numbers.
        large: groups multiplied one by one.
        padding: where each row of the small groups goes when each of them is filled up to the first of them.
    """

    present: Int[Tensor, "P"]
    matrices: tuple[int, ...]
    sizes: tuple[int, ...]
    large: int
    padding: Int[Tensor, "_"] | None = None

    @property
    def cut(self) -> int:
        """Rows before the small groups."""
        return sum(self.sizes[: self.large])

    @property
    def small(self) -> Int[Tensor, "_"]:
        """The matrices of the small groups."""
        return self.present[self.large :]

    def pad(self, rows: Float[Tensor, "T M I"]) -> Float[Tensor, "G T P I"]:
        """Rows of the small groups, each group filled up with zeros."""
        assert self.padding is not None
        count, longest = len(self.sizes) - self.large, self.sizes[self.large]
        filled = rows.new_zeros(rows.shape[0], count * longest, rows.shape[2]).index_copy_(1, self.padding, rows)
        return torch.unflatten(filled, 1, (count, longest)).transpose(0, 1)

    def unpad(self, filled: Float[Tensor, "G T P O"]) -> Float[Tensor, "T M O"]:
        """The rows of the small groups, without what they were filled up with."""
        assert self.padding is not None
        return filled.transpose(0, 1).flatten(1, 2).index_select(1, self.padding)


def grouped(
    x: Float[Tensor, "T N I"], own: Pair, shared: Pair | None, groups: Groups, *, relu: bool = False
) -> Float[Tensor, "T N O"]:
    """`y = x W_s + b_s` with s the row's group; with shared `y = x (W * W_s) + (b + b_s)`; with relu cut off below 0.

    W `[S, T, I, O]`, b `[S, T, O]`, shared W `[T, I, O]`, b `[T, O]`. In memory the answers of a row lie together.

    Example:
        >>> groups = Groups(torch.tensor([1, 0]), (1, 0), (2, 1), 2)
        >>> weight = torch.tensor([10.0, 100.0]).view(2, 1, 1, 1)
        >>> grouped(torch.ones(1, 3, 1), (weight, torch.zeros(2, 1, 1)), None, groups).flatten().tolist()
        [100.0, 100.0, 10.0]
    """
    y: Tensor = _Grouped.apply(x, *own, *(shared or (None, None)), groups, relu)  # type: ignore[no-untyped-call]
    return y


class _Grouped(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        own: Tensor,
        bias: Tensor,
        shared: Tensor | None,
        base: Tensor | None,
        groups: Groups,
        relu: bool,
    ) -> Tensor:
        y = _empty(x, own.shape[-1])
        for head in range(x.shape[0]):
            answers = _parts(y[head], groups)
            for place, rows in enumerate(_parts(x[head], groups)):
                weight, added = _one(own, shared, groups, place, head), _one(bias, base, groups, place, head, add=True)
                torch.addmm(added, rows, weight, out=answers[place])
        if groups.large < len(groups.sizes):
            filled, cut, small = groups.pad(x[:, groups.cut :]), groups.cut, groups.small
            weight, added = own[small], bias[small]
            if shared is not None and base is not None:
                weight, added = weight.mul_(shared), added.add_(base)
            y[:, cut:] = groups.unpad(torch.matmul(filled, weight).add_(added.unsqueeze(2)))
        if relu:
            y.relu_()
        ctx.save_for_backward(x, own, shared, y if relu else None)
        ctx.groups = groups
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, own, shared, y = ctx.saved_tensors
        groups, needs = ctx.groups, ctx.needs_input_grad
        by_row = dy.transpose(0, 1).contiguous()  # [N, T, O]; a copy only where somebody gave another layout
        if y is not None:
            by_row = torch.ops.aten.threshold_backward(by_row, y.transpose(0, 1), 0)
        dy = by_row.transpose(0, 1)
        found = _Found(
            _empty(x, x.shape[2]) if needs[0] else None,
            _room(own, groups) if needs[1] or needs[3] else None,
            torch.zeros_like(shared) if shared is not None and needs[3] else None,
        )
        _large(x, dy, (own, shared), groups, found)
        if groups.large < len(groups.sizes):
            _small(x, dy, (own, shared), groups, found)
        bias = None
        if needs[2] or needs[4]:
            bias = dy.new_zeros(own.shape[0], *by_row.shape[1:])
            bias.index_copy_(0, groups.present, sums(by_row, groups.sizes))
        base = bias.sum(0) if bias is not None and needs[4] else None
        return found.x, found.own if needs[1] else None, bias if needs[2] else None, found.shared, base, None, None


class _Found(NamedTuple):
    """Gradients, written group by group."""

    x: Tensor | None
    own: Tensor | None
    shared: Tensor | None


def _large(x: Tensor, dy: Tensor, weights: tuple[Tensor, Tensor | None], groups: Groups, found: _Found) -> None:
    """Of the groups that are multiplied one by one."""
    own, shared = weights
    for head in range(x.shape[0]):
        steps, back = _parts(dy[head], groups), None if found.x is None else _parts(found.x[head], groups)
        for place, rows in enumerate(_parts(x[head], groups)):
            if back is not None:
                torch.mm(steps[place], _one(own, shared, groups, place, head).T, out=back[place])
            if found.own is not None:
                matrix = groups.matrices[place]
                down = torch.mm(rows.T, steps[place], out=found.own[matrix, head])
                if shared is not None:
                    if found.shared is not None:
                        found.shared[head].addcmul_(down, own[matrix, head])
                    down.mul_(shared[head])


def _small(x: Tensor, dy: Tensor, weights: tuple[Tensor, Tensor | None], groups: Groups, found: _Found) -> None:
    """Of the groups that are padded and multiplied together."""
    own, shared = weights
    steps, mine = groups.pad(dy[:, groups.cut :]), own[groups.small]
    if found.own is not None:
        down = torch.matmul(groups.pad(x[:, groups.cut :]).transpose(2, 3), steps)  # [G, T, I, O]
        if shared is not None:
            if found.shared is not None:
                found.shared.add_((down * mine).sum(0))
            down.mul_(shared)
        found.own[groups.small] = down
    if found.x is not None:
        weight = mine if shared is None else mine.mul_(shared)
        found.x[:, groups.cut :] = groups.unpad(torch.matmul(steps, weight.transpose(2, 3)))


def _parts(rows: Float[Tensor, "N I"], groups: Groups) -> Sequence[Tensor]:
    """Rows of each group that is multiplied by itself."""
    sizes = list(groups.sizes[: groups.large])
    return torch.split(rows[: groups.cut], sizes) if sizes else ()


def _one(
    own: Tensor, shared: Tensor | None, groups: Groups, place: int, head: int, *, add: bool = False
) -> Float[Tensor, "*I O"]:
    """A group's matrix, or its bias."""
    mine = own[groups.matrices[place], head]
    if shared is None:
        return mine
    return mine + shared[head] if add else mine * shared[head]


def _room(own: Tensor, groups: Groups) -> Tensor:
    """Room for a gradient of every matrix; 0 for those that no row meets."""
    if len(groups.sizes) == own.shape[0]:
        return torch.empty_like(own)
    room = torch.empty_like(own)
    absent = torch.ones(own.shape[0], dtype=torch.bool)
    absent[groups.present] = False
    return room.index_fill_(0, absent.nonzero()[:, 0], 0.0)


def sums(rows: Float[Tensor, "N *any"], sizes: Sequence[int]) -> Float[Tensor, "P *any"]:
    """The sum over each group's rows.

    Example:
        >>> sums(torch.tensor([[1.0], [2.0], [4.0]]), (2, 1)).flatten().tolist()
        [3.0, 4.0]
    """
    if len(sizes) <= FEW_GROUPS:
        return torch.stack([part.sum(0) for part in torch.split(rows, list(sizes))])
    starts = torch.tensor((0, *sizes[:-1])).cumsum(0)
    found = functional.embedding_bag(torch.arange(rows.shape[0]), rows.flatten(1), starts, mode="sum")
    return torch.unflatten(found, 1, tuple(rows.shape[1:]))


def _empty(x: Float[Tensor, "T N I"], width: int) -> Float[Tensor, "T N O"]:
    """Room for answers, a row's side by side."""
    return x.new_empty(x.shape[1], x.shape[0], width).transpose(0, 1)
