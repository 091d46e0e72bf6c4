"""Requests that wait are scored together; what cannot be answered in time is refused at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from polyrec.errors import PolyrecError
from polyrec.serving.limits import Limits
from polyrec.serving.refusal import overloaded

W = TypeVar("W")


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[W]):
    """Work that waits: its rows, when it is too late for it, and where the answer goes."""

    work: W
    rows: int
    deadline: float
    answer: "asyncio.Future[Any]"


class Batcher(Generic[W]):
    """A bounded queue before one working thread.

    While the thread works, requests gather; then as many as fit into `limits.merged` rows are worked on together.
    So an idle server waits for nobody, and a busy one spreads the cost of a run over many requests. A request that
    finds the queue full, or whose time is up before its turn, is refused with 503.

    Args:
        work: answers several pieces of work at once; called in the thread, one call at a time.
        limits: rows that wait, rows of one run, seconds of one request.
    """

    def __init__(self, work: Callable[[Sequence[W]], Sequence[Any]], limits: Limits) -> None:
        self.limits = limits
        self.waiting = 0  # rows
        self._stopping = False
        self._work = work
        self._jobs: deque[Job[W]] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; call it from the event loop that serves."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finish what waits and what is worked on, then end the thread."""
        self._stopping = True
        self._arrived.set()
        if self._task is not None:
            await self._task
        await asyncio.to_thread(self._thread.shutdown)

    async def submit(self, work: W, rows: int, deadline: float) -> Any:
        """The answer to one piece of work.

        Args:
            work: what `work` was made for.
            rows: how much it is.
            deadline: on the event loop's clock; refused when it is not begun by then.

        Raises:
            Refusal: the queue is full, or the time is up.
            PolyrecError: as the work raised it.
        """
        if self._stopping:
            raise overloaded("the server is stopping")
        if self._jobs and self.waiting + rows > self.limits.queue:
            raise overloaded(f"{self.waiting:,} rows wait to be scored, {self.limits.queue:,} may")
        job = Job(work, rows, deadline, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self.waiting += rows
        self._arrived.set()
        return await job.answer

    async def _run(self) -> None:
        while self._jobs or not self._stopping:
            if not self._jobs:
                self._arrived.clear()
                await self._arrived.wait()
            jobs = self._taken()
            if jobs:
                await self._answer(jobs)

    def _taken(self) -> list[Job[W]]:
        """The next jobs that go together; those that are too late are refused."""
        taken: list[Job[W]] = []
        rows, now = 0, asyncio.get_running_loop().time()
        while self._jobs and (not taken or rows + self._jobs[0].rows <= self.limits.merged):
            job = self._jobs.popleft()
            self.waiting -= job.rows
            if job.answer.done():  # nobody waits for it any more
                continue
            if job.deadline <= now:
                job.answer.set_exception(overloaded(f"not begun within {self.limits.seconds:g} seconds"))
                continue
            taken.append(job)
            rows += job.rows
        return taken

    async def _answer(self, jobs: list[Job[W]]) -> None:
        """Work on jobs together; when that fails each is worked on alone, so that one's mistake is its own."""
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._work, [job.work for job in jobs])
        except PolyrecError as reason:
            if len(jobs) == 1:
                _fail(jobs[0], reason)
                return
            for job in jobs:
                await self._answer([job])
        except Exception as reason:  # a fault of ours is answered too, and the next jobs are worked on
            for job in jobs:
                _fail(job, reason)
        else:
            for job, answer in zip(jobs, answers, strict=True):
                if not job.answer.done():
                    job.answer.set_result(answer)


def _fail(job: Job[Any], reason: Exception) -> None:
    if not job.answer.done():
        job.answer.set_exception(reason)
