"""Heads by name: what comes out of a model as `[T, B, ...]` and goes out as a mapping."""

from collections.abc import Sequence

from polyrec.errors import ConfigError
from polyrec.shapes import Float, Tensor


def checked(heads: Sequence[str]) -> tuple[str, ...]:
    """The heads' names, none missing and none twice.

    Raises:
        ConfigError: no heads, or one named twice.

    Example:
        >>> checked(["click", "buy"])
        ('click', 'buy')
    """
    names = tuple(heads)
    if not names:
        raise ConfigError("heads = (): a model answers with at least one head. Name the tasks.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"heads {', '.join(map(repr, twice))} are named more than once. Keep one of each.")
    return names


def by_head(heads: Sequence[str], stacked: Float[Tensor, "T B *H"]) -> dict[str, Tensor]:
    """One tensor for each head."""
    return dict(zip(heads, stacked.unbind(0), strict=True))
