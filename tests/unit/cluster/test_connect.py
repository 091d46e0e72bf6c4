"""Where Ray cannot be had, the message says why and what to do; Ray itself is stood in for by what it raises."""

import signal
import socket
import sys
import types

import pytest

from polyrec.cluster import connect
from polyrec.cluster.connect import ADDRESS, connected
from polyrec.errors import NotReadyError


@pytest.fixture
def ray(monkeypatch):
    """A module that fails as it is told to, and what is asked of it."""
    module = types.ModuleType("ray")
    module.asked, module.fails, module.has = [], None, {"CPU": 8.0}

    def init(**options):
        module.asked.append(options)
        signal.signal(signal.SIGTERM, lambda *_: None)  # as Ray does
        if module.fails is not None:
            raise module.fails

    module.is_initialized = lambda: False
    module.init = init
    module.cluster_resources = lambda: module.has
    module.shutdown = lambda: module.asked.append("shutdown")
    module.LoggingConfig = lambda **options: options
    module.util = types.SimpleNamespace(get_node_ip_address=lambda: "127.0.0.2")
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr(connect, "_ANSWER", 0.01)
    return module


def said():
    with pytest.raises(NotReadyError) as told, connected(2):
        pass
    return str(told.value)


@pytest.mark.parametrize(
    "reason",
    [
        ValueError("The configured object store size (0.1 GB) exceeds /dev/shm size (0.06 GB).\nMore."),
        RuntimeError("Failed to start GCS."),
        OSError("AF_UNIX path length cannot exceed 107 bytes"),
        Exception("The current node timed out during startup."),
    ],
)
def test_a_cluster_that_cannot_be_started_is_told_with_its_needs(ray, reason):
    ray.fails = reason
    told = said()
    assert told.startswith(f"Ray cannot be started on this machine ({type(reason).__name__}: ")
    assert str(reason).splitlines()[0].rstrip(".") + "). It needs some 2 GB of memory and 128 MB of /dev/shm" in told
    assert "`fit --processes N` and `predict` work on this machine" in told
    assert "More" not in told
    assert ray.asked[-1] == "shutdown"  # nothing half-started is left


def test_an_address_where_nobody_listens_is_told_soon_and_ray_is_not_asked(ray, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for scheme in ("", "ray://"):
        monkeypatch.setenv(ADDRESS, scheme + address)
        told = said()
        assert told.startswith(
            f"no Ray cluster answers at RAY_ADDRESS = {scheme + address!r} (ConnectionRefusedError: "
        )
        assert "Start one with `ray start --head`, or unset RAY_ADDRESS" in told
    assert not [one for one in ray.asked if one != "shutdown"]


def test_an_address_that_answers_is_joined(ray, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))  # as Ray's head listens, at the node's own address
        taken.listen()
        monkeypatch.setenv(ADDRESS, f"localhost:{taken.getsockname()[1]}")
        with connected(2) as module:
            assert module is ray
    assert ray.asked[0]["address"].startswith("localhost:")
    assert ray.asked[1:] == ["shutdown"]


@pytest.mark.parametrize(
    ("address", "reason", "words"),
    [
        ("auto", ConnectionError("Could not find any running Ray instance."), "no Ray cluster answers at RAY_ADDRESS"),
        (
            "garbage",
            ValueError("Invalid address format: garbage"),
            "The address is that of its head, such as HOST:6379",
        ),
        ("auto", RuntimeError("Version mismatch: 2.60, 2.61"), "with the same versions of Ray and Python"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_told_with_what_to_look_at(ray, monkeypatch, address, reason, words):
    monkeypatch.setenv(ADDRESS, address)
    ray.fails = reason
    told = said()
    assert words in told
    assert str(reason).rstrip(".") in told
    assert told.endswith("unset RAY_ADDRESS to work on this machine alone.")


@pytest.mark.parametrize("fails", [None, RuntimeError("Failed to start GCS.")])
def test_sigterm_does_what_it_did_before(ray, monkeypatch, fails):
    ray.fails, before = fails, signal.getsignal(signal.SIGTERM)
    try:
        with connected(2):
            assert signal.getsignal(signal.SIGTERM) is before
    except NotReadyError:
        assert fails is not None
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    ("workers", "cpus", "gpus", "words"),
    [
        (8, 1, 0, None),
        (9, 1, 0, "the Ray cluster has 8 CPUs, and the workers ask for 9 CPUs: what does not fit waits"),
        (3, 3, 1, "the Ray cluster has 8 CPUs and 0 GPUs, and the workers ask for 9 CPUs and 3 GPUs: "),
    ],
)
def test_a_cluster_with_fewer_than_the_workers_ask_for_is_told_in_a_line(ray, joined, workers, cpus, gpus, words):
    said = []
    ray.is_initialized = lambda: joined
    with connected(workers, cpus, gpus, said.append):
        pass
    assert len(said) == (words is not None)
    assert not said or said[0].startswith(words)
    assert ray.asked == ([] if joined else [*ray.asked[:1], "shutdown"])
