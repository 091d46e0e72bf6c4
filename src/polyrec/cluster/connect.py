"""Ray: imported when it is asked for, and a cluster of it to work on."""

import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from polyrec.errors import ConfigError, NotReadyError

ADDRESS = "RAY_ADDRESS"  # of a running cluster, as Ray itself has it
_STORE = 2**27  # bytes of a local object store: what travels through it is small
_ANSWER = 60.0  # seconds for a cluster to take a connection: Ray itself says nothing for four minutes and more
_PORT = re.compile(r"(?:ray://)?\[?([^/\[\]]+?)\]?:(\d+)")


@contextmanager
def connected(workers: int, cpus: int = 1, gpus: int = 0, log: Callable[[str], None] | None = None) -> Iterator[Any]:
    """The `ray` module, connected.

    To the cluster that the caller has joined with `ray.init`; else to that of RAY_ADDRESS; else to one of this machine
    alone, which is ended afterwards.

    Args:
        workers: how many workers there will be.
        cpus: of each.
        gpus: of each.
        log: told where the cluster has fewer; more may be added, so that is no mistake yet.

    Raises:
        NotReadyError: Ray is not installed, the cluster does not answer, or none can be started.
        ConfigError: fewer than one worker.
    """
    if workers < 1:
        raise ConfigError(f"--processes {workers} must be at least 1.")
    try:
        import ray
    except ImportError as reason:
        raise NotReadyError(
            "this needs Ray, which is not installed: pip install 'polyrec[ray]'. Without --ray, `fit --processes N` "
            "and `predict` work on this machine and need nothing."
        ) from reason
    wanted = {"CPU": workers * cpus, "GPU": workers * gpus}
    if ray.is_initialized():
        _warn(ray.cluster_resources(), wanted, log)
        yield ray
        return
    address = os.environ.get(ADDRESS)
    try:
        _wait_for(address, ray)
        where = {"address": address} if address else _local(workers * cpus)
        with _own_signals():
            ray.init(**where, logging_level=logging.ERROR, logging_config=ray.LoggingConfig(log_level="ERROR"))
        _warn(ray.cluster_resources(), wanted, log)
    except Exception as reason:  # Ray has no error of its own for this
        with suppress(Exception):
            ray.shutdown()  # what was started of it
        raise _failed(address, reason) from reason
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """What SIGTERM and Ctrl-C did before, they do again: `ray.init` takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _warn(there: dict[str, float], wanted: dict[str, int], log: Callable[[str], None] | None) -> None:
    """Say what is short: Ray itself waits for it without a word."""
    short = {name: number for name, number in wanted.items() if there.get(name, 0.0) < number}
    if short and log is not None:
        has = " and ".join(f"{there.get(name, 0.0):g} {name}s" for name in short)
        asked = " and ".join(f"{number} {name}s" for name, number in short.items())
        log(
            f"the Ray cluster has {has}, and the workers ask for {asked}: what does not fit waits until the cluster "
            "grows, or for good where it does not. `ray status` says what it has; stop and give fewer --processes."
        )


def _local(cpus: int) -> dict[str, Any]:
    """A cluster of this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return {
        "address": "local",
        "num_cpus": max(os.cpu_count() or 1, cpus),
        "object_store_memory": _STORE,
        "include_dashboard": False,
    }


def _wait_for(address: str | None, ray: Any) -> None:
    """Until the port takes a connection.

    Raises:
        OSError: it does not, in time.
    """
    found = _PORT.fullmatch(address or "")
    if found is None:
        return
    host, port, until = found[1], int(found[2]), time.monotonic() + _ANSWER
    while True:
        try:
            with socket.create_connection((host, port), max(until - time.monotonic(), 1.0)):
                return
        except OSError:
            if time.monotonic() >= until:
                raise
            if host in ("localhost", "127.0.0.1", "::1"):
                host = ray.util.get_node_ip_address()  # which is where Ray itself looks
            time.sleep(min(1.0, _ANSWER))


def _failed(address: str | None, reason: Exception) -> NotReadyError:
    """What happened, and what to do."""
    said = (str(reason).strip() or "no words").splitlines()[0].rstrip(".")
    words = f"{type(reason).__name__}: {said[:300]}"
    if not address:
        return NotReadyError(
            f"Ray cannot be started on this machine ({words}). It needs some 2 GB of memory and {_STORE >> 20} MB of "
            "/dev/shm, free ports, and room below RAY_TMPDIR, a short path, else /tmp; ray/session_latest/logs there "
            "say more. Without --ray, `fit --processes N` and `predict` work on this machine and need no Ray."
        )
    if isinstance(reason, OSError):
        return NotReadyError(
            f"no Ray cluster answers at {ADDRESS} = {address!r} ({words}). Start one with `ray start --head`, or unset "
            f"{ADDRESS} to work on this machine alone."
        )
    return NotReadyError(
        f"the Ray cluster at {ADDRESS} = {address!r} cannot be joined ({words}). The address is that of its head, such "
        "as HOST:6379; this machine must be one of its nodes (`ray start --address=...`), with the same versions of "
        f"Ray and Python. Or unset {ADDRESS} to work on this machine alone."
    )
