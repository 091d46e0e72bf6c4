"""Joining the other processes of a run, as the launcher's environment says."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread

import torch
import torch.distributed as dist

from polyrec import temporary
from polyrec.distributed.joined import Joined
from polyrec.distributed.world import ALONE, World, within
from polyrec.errors import ConfigError

TIMEOUT = "POLYREC_TIMEOUT"  # seconds that a process waits for the others in one operation
PARENT = "POLYREC_PARENT"  # set where the process that started this one holds the other end of its stdin
_DEFAULT = 600.0
_SLOW = timedelta(days=1)  # for what the first process does alone; one that ends is noticed at once all the same


def processes() -> int:
    """How many processes a launcher (`--processes`, torchrun) has started this one as one of; 1: none has."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


@contextmanager
def joined(device: str = "cpu") -> Iterator[World]:
    """Be one of the processes that the launcher started, from RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

    Collectives of CPU tensors go by gloo, those of CUDA tensors by NCCL. The device of rank r is GPU LOCAL_RANK. Where
    the launcher has joined the processes already, as Ray Train does, it parts them too.

    Raises:
        ConfigError: the time limit is no number.
    """
    if processes() == 1:
        yield ALONE
        return
    if os.environ.get(PARENT) == "stdin":
        Thread(target=_end_with_parent, name="polyrec-parent", daemon=True).start()
    cuda = device.startswith("cuda") and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    ours = not dist.is_initialized()
    if ours:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=timedelta(seconds=limit()))
    slow = dist.new_group(backend="gloo", timeout=_SLOW)
    store = dist.distributed_c10d._get_default_store()
    with within(Joined(dist.get_rank(), dist.get_world_size(), slow, store)) as one:
        yield one
        if ours:  # and not after an error: others may be gone, and the end of the process tells them
            dist.destroy_process_group()


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    temporary.remove_all()
    os._exit(1)


def limit() -> float:
    """Seconds that a process waits for the others in one operation.

    Raises:
        ConfigError: POLYREC_TIMEOUT is no number above 0.
    """
    text = os.environ.get(TIMEOUT, str(_DEFAULT))
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if found <= 0:
        raise ConfigError(f"{TIMEOUT} = {text!r} must be a number of seconds above 0. Unset it for {_DEFAULT:g}.")
    return found
