"""How far long work has come, told to whoever asks; the library itself draws nothing."""

from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Progress = Callable[[str, int, int], None]  # what is done, how many of it, of how many


T = TypeVar("T", bound=Sized)


def told(progress: Progress | None, what: str, parts: Iterable[T], total: int) -> Iterator[T]:
    """The same parts, and after each a word to `progress` of how many of the `total` rows are done.

    The first word comes before the first part.

    Example:
        >>> said = []
        >>> list(told(lambda *one: said.append(one), "reading", ["ab", "c"], 3))
        ['ab', 'c']
        >>> said
        [('reading', 0, 3), ('reading', 2, 3), ('reading', 3, 3)]
    """
    if progress is None:
        yield from parts
        return
    done = 0
    progress(what, done, total)
    for part in parts:
        yield part
        done += len(part)
        progress(what, done, total)
