"""An iterator that works a few items ahead, in a thread of its own or in several."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar, cast

T = TypeVar("T")
S = TypeVar("S")
_END = object()
_LOOK = 0.1  # seconds between looks at whether anybody still listens


class _Failure:
    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made before they are asked for; 0: no thread.

    What `items` raises is raised here, in its place. The thread ends when the items do, or when this generator is
    closed.

    Example:
        >>> list(ahead(iter("abc"), 2))
        ['a', 'b', 'c']
    """
    if depth == 0:
        yield from items
        return
    ready: Queue[object] = Queue(depth)
    stop = Event()
    worker = Thread(target=_work, args=(items, ready, stop), name="polyrec-ahead", daemon=True)
    worker.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.reason
            yield cast(T, item)
    finally:
        stop.set()
        with suppress(Empty):
            while True:
                ready.get_nowait()
        worker.join()


def mapped(make: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[T]:
    """What `make` gives for each item, in their order, by so many threads; 1: none but this.

    No more than four times as many are made or waited for than there are threads, however many items there are.

    Example:
        >>> list(mapped(abs, [-1, 2, -3], 2))
        [1, 2, 3]
    """
    if threads == 1:
        yield from map(make, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="polyrec-ahead") as pool:
        waiting: deque[Future[T]] = deque(pool.submit(make, one) for one in islice(rest, 4 * threads))
        try:
            while waiting:
                found = waiting.popleft().result()
                waiting.extend(pool.submit(make, one) for one in islice(rest, 1))
                yield found
        finally:
            for one in waiting:
                one.cancel()


def _work(items: Iterator[object], ready: "Queue[object]", stop: Event) -> None:
    try:
        for item in items:
            if not _put(item, ready, stop):
                return
        _put(_END, ready, stop)
    except BaseException as reason:
        _put(_Failure(reason), ready, stop)


def _put(item: object, ready: "Queue[object]", stop: Event) -> bool:
    while not stop.is_set():
        with suppress(Full):
            ready.put(item, timeout=_LOOK)
            return True
    return False
