"""Parts whose rows move when there are more values or scenarios, and that know where to."""

from typing import Any, Protocol, runtime_checkable

from polyrec.shapes import Int, Tensor


@runtime_checkable
class Growing(Protocol):
    """A module that lays out the rows of a tensor in its own way."""

    def places(self, old: Any) -> dict[str, Int[Tensor, "R"]]:
        """Where each row of `old`, the same module for fewer values or scenarios, lies in this one.

        By the tensor's name in this module; its rows are its first dimension.
        """
        ...
