"""Which weights several terms share, found through autograd's gradients: no model says so, no class is asked."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from polyrec.errors import ConfigError
from polyrec.objectives.objective import Terms
from polyrec.shapes import Bool, Float, Tensor


def gradients(terms: Terms, parameters: Sequence[nn.Parameter]) -> list[tuple[Tensor | None, ...]]:
    """Each term's gradient of every parameter; None where the term does not reach it. The graph is kept."""
    nothing = tuple(None for _ in parameters)
    return [
        torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True) if term.requires_grad else nothing
        for term in terms.values()
    ]


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
    by_term = gradients(terms, parameters)
    if sum(any(one is not None and bool((_dense(one) != 0).any()) for one in found) for found in by_term) < 2:
        return None
    away = [depths(term) for term in terms.values()]
    best: tuple[int, int, int] | None = None
    for place, parameter in enumerate(parameters):
        given = [one[place] for one in by_term]
        if parameter.dim() < 2 or any(one is not None and one.is_sparse for one in given):
            continue
        count = _sharing(given)
        if count >= 2:
            depth = max(found[id(parameter)] for found in away if id(parameter) in found)
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
