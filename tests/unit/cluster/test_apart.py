"""The process that leads work on Ray ends with the one that watches it, whose own end takes everything away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from polyrec.cluster.apart import LED, unfinished

LEAD = """
from polyrec.cluster.apart import LED, led
import os, sys
first = led()
print(first, led(), LED in os.environ, flush=True)
import time
time.sleep(60)
"""

WATCH = """
import signal, sys
from pathlib import Path
from polyrec.cluster.apart import watched
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
out = Path(sys.argv[1])
sys.exit(watched(["simulate", "--out", str(out), "--rows", sys.argv[2]], out, lambda: print("tidy", flush=True)))
"""


def program(text, *arguments, **more):
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def leader(watcher):
    """The one process below it."""
    return int(Path(f"/proc/{watcher.pid}/task/{watcher.pid}/children").read_text())


def wait(what, seconds=30):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def drafts(folder):
    return list(folder.glob(".world-*"))


def test_the_one_that_leads_heeds_no_signal_and_ends_with_its_watcher():
    one = program(LEAD, stdin=subprocess.PIPE, env={**os.environ, LED: "1"})
    assert one.stdout.readline() == "True False False\n"
    for number in (signal.SIGINT, signal.SIGTERM):
        one.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        one.wait(0.3)
    one.communicate(timeout=30)  # which closes its stdin
    assert one.returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_stop_ends_the_one_that_leads_and_tidies(tmp_path):
    out = tmp_path / "world"
    (tmp_path / ".world.ray" / "left").mkdir(parents=True)  # by a command that was killed
    one = program(WATCH, out, 50_000_000)
    wait(lambda: drafts(tmp_path))
    led = leader(one)
    one.terminate()
    assert one.communicate(timeout=30) == ("tidy\n", "")
    assert one.returncode == 130
    assert not Path(f"/proc/{led}").exists()
    assert not (tmp_path / ".world.ray").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_leader_that_is_killed_is_told_in_words(tmp_path):
    one = program(WATCH, tmp_path / "world", 50_000_000)
    wait(lambda: drafts(tmp_path))
    os.kill(leader(one), signal.SIGKILL)
    out, said = one.communicate(timeout=30)
    assert out == "tidy\n"
    assert "the process that leads the work was ended by SIGKILL, as by a system that is short of memory" in said


def test_a_leader_that_ends_well_gives_its_code_and_nothing_is_tidied(tmp_path):
    one = program(WATCH, tmp_path / "world", 1_000)
    assert "tidy" not in one.communicate(timeout=60)[0]
    assert one.returncode == 0
    assert (tmp_path / "world" / "log.parquet").exists()


def test_what_workers_had_half_written_is_removed_and_no_more(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".train.safetensors.12.tmp").write_text("half")
    (tmp_path / ".bundle.12.tmp" / "in").mkdir(parents=True)
    for kept in (".mine.tmp", "log.12.tmp", "events.jsonl"):
        (tmp_path / kept).write_text("")
    unfinished(tmp_path)
    assert sorted(one.name for one in tmp_path.rglob("*")) == [".mine.tmp", "checkpoints", "events.jsonl", "log.12.tmp"]
