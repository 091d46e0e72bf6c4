"""Which weights several terms share, found through autograd's gradients: no model says so, no class is asked."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from polyrec.distributed import world
from polyrec.errors import ConfigError
from polyrec.objectives.objective import Terms
from polyrec.shapes import Bool, Float, Tensor

Gradients = list[tuple[Tensor | None, ...]]


def gradients(terms: Terms, parameters: Sequence[nn.Parameter]) -> Gradients:
    """Each term's gradient of every parameter; None where the term does not reach it. The graph is kept.

    Where several processes train, gradients are those of this one's rows.
    """
    nothing = tuple(None for _ in parameters)
    found: Gradients = [
        torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True) if term.requires_grad else nothing
        for term in terms.values()
    ]
    return found if world().alone else _everywhere(found, parameters)


def _everywhere(found: Gradients, parameters: Sequence[nn.Parameter]) -> Gradients:
    """The same, with 0 in place of None where another process's rows are reached."""
    reached = torch.tensor([[float(one is not None) for one in by_term] for by_term in found])
    sparse = torch.tensor([[float(one is not None and one.is_sparse) for one in by_term] for by_term in found])
    reached, sparse = world().sum(torch.stack([reached, sparse])).unbind(0)

    def one(term: int, place: int) -> Tensor | None:
        given = found[term][place]
        return torch.zeros_like(parameters[place]) if given is None and reached[term, place] > 0 else given

    return [
        tuple(None if sparse[term, place] and given is None else one(term, place) for place, given in enumerate(row))
        for term, row in enumerate(found)
    ]


def whole(found: Gradients, parameters: Sequence[nn.Parameter]) -> Gradients:
    """Dense gradients of the rows of all processes, from those of each one's own."""
    if world().alone:
        return found
    dense = [
        place
        for place, _ in enumerate(parameters)
        if not any(one[place] is not None and cast(Tensor, one[place]).is_sparse for one in found)
    ]
    summed = []
    for row in found:
        new = list(row)
        given = [place for place in dense if row[place] is not None]
        flat = [cast(Tensor, row[place]).flatten() for place in given]
        parts = torch.split(world().sum(torch.cat(flat)), [len(one) for one in flat]) if given else ()
        for place, part in zip(given, parts, strict=True):
            new[place] = part.view_as(parameters[place])
        summed.append(tuple(new))
    return summed


def together(found: Sequence[Tensor | None]) -> Bool[Tensor, "*any"]:
    """Which entries of one parameter the terms share, given each term's gradient of it.

    A parameter that holds a tower for each task side by side is reached by every task, and yet no entry of it
    is shared: what counts is where gradients meet. Where they meet on half of what any of them moves, the whole
    parameter is shared, since a gradient may be 0 by chance; else the entries on which they meet.

    Example:
        >>> together([torch.tensor([1.0, 0.0, 2.0, 0.0]), torch.tensor([0.0, 1.0, 3.0, 4.0])])
        tensor([False, False,  True, False])
        >>> together([torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])])
        tensor([True, True])
    """
    moved = torch.stack([one != 0 for one in found if one is not None])
    both = moved.sum(0) >= 2
    return torch.ones_like(both) if 2 * both.sum() >= moved.any(0).sum() else both


def last_shared(terms: Terms, parameters: Sequence[nn.Parameter]) -> int | None:
    """The place of the shared matrix nearest to the terms: the weights W of GradNorm's last shared layer.

    Of the matrices (two dimensions or more) most of whose moved entries the most terms move, the one with the
    fewest operations on the longest way between it and a term. None where too few terms have rows in this batch to say.

    Raises:
        ConfigError: no two terms share a matrix.
    """
    by_term = whole(gradients(terms, parameters), parameters)
    moved = torch.tensor([any(one is not None and bool((_dense(one) != 0).any()) for one in row) for row in by_term])
    if int((world().sum(moved.int()) > 0).sum()) < 2:
        return None
    return world().from_first(lambda: _nearest(terms, parameters, by_term))


def _nearest(terms: Terms, parameters: Sequence[nn.Parameter], by_term: Gradients) -> int | None:
    away = [depths(term) for term in terms.values()]
    best: tuple[int, int, int] | None = None
    for place, parameter in enumerate(parameters):
        given = [one[place] for one in by_term]
        if parameter.dim() < 2 or any(one is not None and one.is_sparse for one in given):
            continue
        count = _sharing(given)
        if count >= 2:
            depth = max((found[id(parameter)] for found in away if id(parameter) in found), default=None)
            if depth is None:  # other processes' rows reach it, and none of this one's
                return None
            candidate = (-count, depth, place)
            best = candidate if best is None else min(best, candidate)
    if best is None:
        raise ConfigError(
            f"balancer 'gradnorm': no two of the terms {', '.join(terms)} share a weight matrix: there is nothing "
            "to balance. Use a model that shares layers between tasks, or balancer = 'fixed'."
        )
    return best[2]


def depths(term: Float[Tensor, ""]) -> dict[int, int]:
    """Operations on the longest way from a term to each parameter that it reaches, by the parameter's `id`.

    The longest, since a short one may lead around the layers in between: an embedding that also gates the last
    layer is not the last layer.
    """
    order: list[Any] = []  # every node before all that feed it
    waiting: list[tuple[Any, bool]] = [(term.grad_fn, False)] if term.grad_fn is not None else []
    seen: set[Any] = set()
    while waiting:
        node, done = waiting.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            waiting.append((node, True))
            waiting += [(before, False) for before, _ in node.next_functions if before is not None]
    depth: dict[Any, int] = {}
    found: dict[int, int] = {}
    for node in reversed(order):
        here = depth.setdefault(node, 0)
        for before, _ in node.next_functions:
            if before is not None:
                depth[before] = max(depth.get(before, 0), here + 1)
        variable = getattr(node, "variable", None)  # a leaf: autograd adds its gradient up here
        if variable is not None:
            found[id(variable)] = here
    return found


def _sharing(found: Sequence[Tensor | None]) -> int:
    """How many terms move most of the entries that any term moves."""
    given = [one != 0 for one in found if one is not None]
    if len(given) < 2:
        return 0
    moved = torch.stack(given)
    union = moved.any(0).sum()
    if not bool(union):
        return 0
    return int((moved.flatten(1).sum(1) > union / 2).sum())


def _dense(gradient: Tensor) -> Tensor:
    return gradient._values() if gradient.is_sparse else gradient
