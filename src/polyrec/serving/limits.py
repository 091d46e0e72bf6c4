"""What one server takes at most: bodies, rows, time, and what waits."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from polyrec.declare import STRICT

Count = Annotated[int, Ge(1)]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a server. Beyond them it answers 4xx or 503, and never waits without end."""

    __pydantic_config__ = STRICT
    body: Count = 4 * 2**20  # bytes of one request
    bodies: Count = 64 * 2**20  # bytes of all requests in hand
    rows: Count = 5_000  # of one request
    queue: Count = 10_000  # rows that wait to be scored
    merged: Count = 2_048  # rows of waiting requests that are scored together
    seconds: Annotated[float, Gt(0)] = 2.0  # from a request's arrival to its answer
    grace: Annotated[float, Gt(0)] = 10.0  # to finish what was taken when asked to stop
