"""The processes of a run on one machine: started together, ended together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from polyrec.distributed.join import PARENT
from polyrec.errors import ConfigError

GRACE = 20.0  # seconds that the others have to end by themselves once one has failed
_LOOK = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `python -m polyrec ARGUMENTS` as so many processes that find each other; the exit code of all.

    The first one that fails ends the others: by itself, since they see it go, or after `GRACE` seconds by a signal,
    and its code is the run's. Signals to this process go to all.
    """
    if processes < 1:
        raise ConfigError(f"--processes {processes} must be at least 1.")
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(processes),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is this process's
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "polyrec", *arguments],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), PARENT: "stdin"},
            stdin=subprocess.PIPE,  # which ends when this process does, however it does
            start_new_session=True,  # a terminal's Ctrl-C comes once, from here
        )
        for rank in range(processes)
    ]
    before = {one: signal.signal(one, lambda number, _: _pass_on(started, number)) for one in _SIGNALS}
    try:
        return _watch(started)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _watch(started: Sequence["subprocess.Popen[bytes]"]) -> int:
    code, deadline, asked = 0, float("inf"), False
    while None in (codes := [one.poll() for one in started]):  # all are asked, also behind one that still runs
        failed = [(rank, code) for rank, code in enumerate(codes) if code not in (None, 0)]
        if failed and not code:
            rank, code = failed[0]
            deadline = time.monotonic() + GRACE
            if code < 0:
                name = signal.Signals(-code).name
                sys.stderr.write(
                    f"polyrec: process {rank} of {len(started)} was ended by {name}; the others end too. Run the same "
                    "command again with --resume to go on from the last checkpoint.\n"
                )
        if time.monotonic() > deadline:
            for one in started:
                if one.poll() is None:
                    one.kill() if asked else one.terminate()
            asked, deadline = True, time.monotonic() + GRACE / 2
        time.sleep(_LOOK)
    code = code or next((one for one in codes if one), 0)
    return 1 if code < 0 else code


def _pass_on(started: Sequence["subprocess.Popen[bytes]"], number: int) -> None:
    for one in started:
        if one.poll() is None:
            one.send_signal(number)
