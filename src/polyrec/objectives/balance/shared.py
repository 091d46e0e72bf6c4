"""Which parameters several terms reach, read off autograd's graph: no model says so, no class is asked."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from polyrec.errors import ConfigError
from polyrec.objectives.objective import Terms
from polyrec.shapes import Float, Tensor


def depths(term: Float[Tensor, ""]) -> dict[int, int]:
    """Operations between a term and each parameter that it reaches, by the parameter's `id`."""
    found: dict[int, int] = {}
    seen: set[Any] = set()
    front = [term.grad_fn] if term.grad_fn is not None else []
    depth = 0
    while front:
        behind: list[Any] = []
        for node in front:
            if node in seen:
                continue
            seen.add(node)
            variable = getattr(node, "variable", None)  # a leaf: autograd adds its gradient up here
            if variable is not None:
                found[id(variable)] = depth
            behind += [before for before, _ in node.next_functions if before is not None]
        front, depth = behind, depth + 1
    return found


def shared(terms: Terms, parameters: Sequence[nn.Parameter]) -> tuple[int, ...]:
    """Places of the parameters that at least two terms reach.

    Example:
        >>> import torch
        >>> both, one = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        >>> shared({"a": both.sum(), "b": (both * one).sum()}, [both, one])
        (0,)
    """
    return _reached_by(list(map(depths, terms.values())), parameters, 2)


def last_shared(terms: Terms, parameters: Sequence[nn.Parameter]) -> int:
    """The place of the shared matrix nearest to the terms: the weights W of GradNorm's last shared layer.

    Of the matrices (two dimensions or more) that the most terms reach, the one with the fewest operations
    between it and the terms.

    Raises:
        ConfigError: no two terms share a matrix.
    """
    reach = [depths(term) for term in terms.values()]
    for least in range(len(reach), 1, -1):
        places = [place for place in _reached_by(reach, parameters, least) if parameters[place].dim() >= 2]
        if places:
            return min(places, key=lambda place: _depth(reach, parameters[place]))
    raise ConfigError(
        f"balancer 'gradnorm': no two of the terms {', '.join(terms)} share a weight matrix: there is nothing to "
        "balance. Use a model that shares layers between tasks, or balancer = 'fixed'."
    )


def _reached_by(reach: Sequence[dict[int, int]], parameters: Sequence[nn.Parameter], least: int) -> tuple[int, ...]:
    counts = (sum(id(one) in found for found in reach) for one in parameters)
    return tuple(place for place, count in enumerate(counts) if count >= least)


def _depth(reach: Iterable[dict[int, int]], parameter: nn.Parameter) -> int:
    return max(found[id(parameter)] for found in reach if id(parameter) in found)
