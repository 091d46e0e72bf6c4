"""Parts of some work dealt to the workers of a Ray cluster by Ray Data, and their answers."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from polyrec import errors
from polyrec.errors import NotReadyError, PolyrecError

RETRIES = 3  # of a part whose worker died
_BLOCKS = 10_000  # tasks of Ray Data at most; one does several parts then


def deal(
    ray: Any, parts: Sequence[Mapping[str, Any]], worker: type, given: tuple[Any, ...], workers: int
) -> Iterator[dict[str, Any]]:
    """Answers as they come, in any order.

    Args:
        ray: the module, connected.
        parts: plain values by name; `number` is a part's own, rising.
        worker: a class; an object of it answers parts, by `answer`.
        given: what the class is called with.
        workers: how many objects there are, one each on one CPU.

    Raises:
        PolyrecError: what the first of the parts that fail says, whoever is done first.
        NotReadyError: a worker died several times at the same part.
    """
    import ray.data as rows

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = rows.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    pool = rows.ActorPoolStrategy(size=min(workers, len(parts)))
    dataset = rows.from_items([dict(one) for one in parts], override_num_blocks=min(len(parts), _BLOCKS))
    dataset = dataset.map(worker, fn_constructor_args=given, compute=pool, num_cpus=1, max_task_retries=RETRIES)
    try:
        yield from in_order(dataset.iter_rows(), [one["number"] for one in parts])
    except ray.exceptions.RayError as reason:
        text = str(reason).strip().splitlines()[0]
        raise NotReadyError(
            f"a worker failed and Ray gave up ({type(reason).__name__}: {text[:200]}). Run the same command again."
        ) from reason


def in_order(answers: Iterator[dict[str, Any]], numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The same answers, until what the first one that failed says is raised.

    Example:
        >>> good, bad = {"number": 0, "error": ""}, {"number": 1, "error": "label 7. Mend it.", "kind": "DataError"}
        >>> list(in_order(iter([bad, good]), [0, 1]))
        Traceback (most recent call last):
        ...
        polyrec.errors.DataError: label 7. Mend it.
    """
    waiting, failed = set(numbers), None
    for told in answers:
        waiting.discard(told["number"])
        if told["error"] and (failed is None or told["number"] < failed["number"]):
            failed = told
        if failed is None:
            yield told
        elif failed["number"] < min(waiting, default=failed["number"] + 1):
            raise getattr(errors, failed["kind"], PolyrecError)(failed["error"])


def answer(number: int, work: Callable[[], int]) -> dict[str, Any]:
    """A worker's answer on a part, with the rows that `work` says; what is wrong with it would be wrong again, too."""
    try:
        return {"number": number, "rows": work(), "error": "", "kind": ""}
    except PolyrecError as reason:
        return {"number": number, "rows": 0, "error": str(reason), "kind": type(reason).__name__}
