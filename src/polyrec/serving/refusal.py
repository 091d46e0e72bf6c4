"""A request that is not answered as asked: a status, and words that say why."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Refusal(Exception):  # noqa: N818
    """Becomes `{"error": message}` with this status."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


def overloaded(why: str) -> Refusal:
    """503, to be tried again in a second.

    Example:
        >>> overloaded("12,000 rows wait").status
        503
    """
    return Refusal(503, f"over capacity: {why}. Try again after a second.", {"Retry-After": "1"})
