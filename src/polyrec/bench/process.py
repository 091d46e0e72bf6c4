"""One cell in one process: trained there and gone with it, whatever it does to memory or threads."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, reduction
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from polyrec import temporary
from polyrec.config import RunConfig
from polyrec.disk import full
from polyrec.errors import PolyrecError
from polyrec.recipes.fit import fit
from polyrec.recipes.folder import RunFolder
from polyrec.training.checkpoint import plain

METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_LOOK = 0.2  # seconds between looks for a signal
PATIENCE = 5.0  # seconds in which the process of a cell ends whose suite was killed


@dataclass(frozen=True, slots=True)
class Ended:
    """How a cell's process ended: seconds of CPU, where they are known, or why it failed."""

    cpu_seconds: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Lock:
    """The handle of a folder's lock, if there is one; a process that is started with it holds the folder too."""

    handle: int | None

    def __reduce__(self) -> Any:
        return _received, (None if self.handle is None else reduction.DupFd(self.handle),)


def _received(given: Any) -> Lock:
    return Lock(None if given is None else given.detach())


def train_apart(run: RunConfig, folder: Path, lock: int | None = None, *, only_validate: bool) -> Ended:
    """`fit` in a process of its own; one that was stopped before goes on from its checkpoint.

    The process ends when this one does, even when this one is killed.

    Args:
        run: what to train.
        folder: where.
        lock: what keeps others from training there, `RunFolder.held`: it is not given up before the process has ended.
        only_validate: see `fit`.

    Raises:
        OSError: the disk is full: nothing that is trained after it would fit either.
        KeyboardInterrupt: this process was asked to stop; the other has been then.
    """
    context: Any = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":
        context.set_forkserver_preload(["polyrec.bench.warm"])  # imports once for all cells
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, run, folder, Lock(lock), only_validate))
    with _without_ctrl_c():
        forkserver.ensure_running() if METHOD == "forkserver" else process.start()
    if METHOD == "forkserver":
        process.start()  # waits for what is imported, and may be interrupted
    theirs.close()
    try:
        while not mine.poll(_LOOK):  # a signal that came to another thread does not end a read
            pass
        told = mine.recv()
        process.join()
    except EOFError:
        process.join()
        return Ended(error=f"its process ended with code {process.exitcode}: out of memory, or killed")
    except BaseException:
        process.terminate()
        process.join(20)
        process.kill()
        raise
    if isinstance(told, OSError):
        raise told
    return told if isinstance(told, Ended) else Ended(error=str(told))


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """What is started meanwhile heeds no SIGINT: a terminal sends it to every process, and this one ends the others."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(answer: Connection, run: RunConfig, folder: Path, lock: Lock, only_validate: bool) -> None:
    del lock  # its handle stays open until this process ends
    threading.Thread(target=_end_with_parent, daemon=True).start()
    place, begun = RunFolder(folder), time.process_time()
    try:
        before = None if place.has_ended(only_validate=only_validate) else _spent(place)
        fit(run, folder, resume=True, only_validate=only_validate)
        for name in ("checkpoints", "bundle", "vocabulary"):
            shutil.rmtree(folder / name, ignore_errors=True)
        answer.send(Ended(None if before is None else round(before + time.process_time() - begun, 2)))
    except KeyboardInterrupt:  # by SIGTERM, and its checkpoint is written
        sys.exit(1)
    except Exception as reason:
        answer.send(_full(reason, folder) or Ended(error=_words(reason)))


def _full(reason: Exception, folder: Path) -> OSError | None:
    found = full(reason)
    return None if found is None else OSError(found.errno, found.strerror, str(found.filename or folder))


def _words(reason: Exception) -> str:
    known = isinstance(reason, PolyrecError)
    return str(reason) if known else f"{type(reason).__name__}: {reason}\n{traceback.format_exc()}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        temporary.remove_all()
        os._exit(1)


def _spent(folder: RunFolder) -> float | None:
    """Seconds of CPU that earlier attempts trained for, up to the checkpoints from which this one goes on."""
    places = [plain(one).get("place", {}) for one in folder.checkpoints.glob("*.safetensors")]
    return sum(one["cpu"] for one in places) if all("cpu" in one for one in places) else None  # of an older polyrec
