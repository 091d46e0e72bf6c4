"""Ray: imported when it is asked for, and a cluster of it to work on."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from polyrec.errors import ConfigError, NotReadyError

ADDRESS = "RAY_ADDRESS"  # of a running cluster, as Ray itself has it
_STORE = 2**27  # bytes of a local object store: what travels through it is small


@contextmanager
def connected(workers: int, cpus: int = 1) -> Iterator[Any]:
    """The `ray` module, connected.

    To the cluster that the caller has joined with `ray.init`; else to that of RAY_ADDRESS; else to one of this machine
    alone, which is ended afterwards.

    Args:
        workers: how many workers there will be.
        cpus: of each.

    Raises:
        NotReadyError: Ray is not installed, or the cluster does not answer.
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
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get(ADDRESS)
    try:
        where = {"address": address} if address else _local(workers * cpus)
        ray.init(**where, logging_level=logging.ERROR, logging_config=ray.LoggingConfig(log_level="ERROR"))
    except (ConnectionError, TimeoutError) as reason:
        raise NotReadyError(
            f"no Ray cluster answers at {ADDRESS} = {address!r}: {reason}. Start one with `ray start --head`, or unset "
            f"{ADDRESS} to work on this machine alone."
        ) from reason
    try:
        yield ray
    finally:
        ray.shutdown()


def _local(cpus: int) -> dict[str, Any]:
    """A cluster of this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return {
        "address": "local",
        "num_cpus": max(os.cpu_count() or 1, cpus),
        "object_store_memory": _STORE,
        "include_dashboard": False,
    }
