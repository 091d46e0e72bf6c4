"""Parts of some work dealt to the workers of a Ray cluster by Ray Data, and their answers."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    tally = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Tally).remote()
    bounded = (worker, given, _Begun(tally))
    dataset = dataset.map(Bounded, fn_constructor_args=bounded, compute=pool, num_cpus=1)
    try:
        yield from in_order(dataset.iter_rows(), [one["number"] for one in parts])
    except ray.exceptions.RayError as reason:
        text = str(reason).strip().splitlines()[0]
        raise NotReadyError(
            f"a worker failed and Ray gave up ({type(reason).__name__}: {text[:200]}). Run the same command again."
        ) from reason


class Tally:
    """How often each part was begun: an actor, which outlives the workers.

    Example:
        >>> tally = Tally()
        >>> [tally.begin(number) for number in (7, 8, 7)]
        [1, 1, 2]
    """

    def __init__(self) -> None:
        self._times = Counter[int]()

    def begin(self, number: int) -> int:
        """Which time this is."""
        self._times[number] += 1
        return self._times[number]


@dataclass(frozen=True, slots=True)
class _Begun:
    """Asks the tally."""

    tally: Any

    def __call__(self, number: int) -> int:
        import ray

        times: int = ray.get(self.tally.begin.remote(number))
        return times


class Bounded:
    """A worker that gives up a part at which workers died more than `RETRIES` times.

    Ray Data itself begins such a part again without end, and an option that bounds it there has no future: 2.60 warns
    of it, 2.64 is to lack it.

    Args:
        worker: a class; see `deal`.
        given: what it is called with.
        begun: which time it is that a part is begun.
    """

    def __init__(self, worker: type, given: tuple[Any, ...], begun: Callable[[int], int]) -> None:
        self._worker, self._begun = worker(*given), begun

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer."""
        number = told["number"]
        if self._begun(number) <= 1 + RETRIES:
            found: dict[str, Any] = self._worker(told)
            return found

        def give_up() -> int:
            raise NotReadyError(
                f"part {number}: its worker died {1 + RETRIES} times over, as it does without enough memory. Give each "
                "worker more of it, for example by fewer --processes; Ray's logs say more. Run the same command again."
            )

        return answer(number, give_up)


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
