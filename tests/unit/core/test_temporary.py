import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from polyrec import temporary
from polyrec.data import spill

pytestmark = pytest.mark.skipif(os.name != "posix", reason="folders are locked by flock")
HELD = """
import sys, time
from polyrec import temporary
print(temporary.folder(), flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holder(here):
    """A process that has made a folder, and the folder."""
    environment = {**os.environ, "TMPDIR": str(here)}
    run = subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE, text=True, env=environment)
    made = Path(run.stdout.readline().strip())
    (made / "1").write_text("run")
    return run, made


def test_the_folder_of_a_killed_process_is_removed_by_the_next_and_that_of_a_living_one_is_not(here):
    run, made = holder(here)
    try:
        with spill.Space():
            assert (made / "1").exists()
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    assert made.exists()
    with spill.Space():
        assert not made.exists()


def test_a_folder_stays_while_a_process_forked_from_its_maker_lives(here):
    reading, writing = os.pipe()
    code = f"import os, time\nfrom polyrec import temporary\nprint(temporary.folder(), flush=True)\n\
if os.fork() == 0:\n    os.close(1)\n    os.read({reading}, 1)\n    os._exit(0)\nos._exit(9)"
    environment = {**os.environ, "TMPDIR": str(here)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        check=False,
        stdout=subprocess.PIPE,
        env=environment,
        pass_fds=(reading,),
    )
    made = Path(done.stdout.decode().strip())
    temporary.sweep()
    assert made.exists()
    os.write(writing, b"x")
    until = time.monotonic() + 60
    while made.exists():
        assert time.monotonic() < until
        temporary.sweep()
        time.sleep(0.02)
    os.close(reading)
    os.close(writing)


def test_what_other_machines_other_programs_and_other_versions_made_is_left(here, monkeypatch):
    names = ("polyrec-elsewhere.abcd1234", "polyrec-abcd1234", "other", f"{temporary._prefix()[:-1]}-b.abcd1234")
    for name in names:
        (here / name).mkdir()
    (here / f"{temporary._prefix()}link").symlink_to(here / "other")
    temporary.sweep()
    assert sorted(path.name for path in here.iterdir()) == sorted([*names, f"{temporary._prefix()}link"])


def test_a_folder_that_a_sweep_took_before_it_was_locked_is_made_anew(here, monkeypatch):
    taken, lock = [], temporary._lock

    def late(path):
        if not taken:
            taken.append(path)
            path.rmdir()
        return lock(path)

    monkeypatch.setattr(temporary, "_lock", late)
    made = temporary.folder()
    assert made.exists()
    assert made != taken[0]
    temporary.remove(made)


def test_without_locks_nothing_of_others_is_removed(here, monkeypatch):
    left = here / f"{temporary._prefix()}abcd1234"
    left.mkdir()
    monkeypatch.setattr(temporary, "fcntl", None)
    made = temporary.folder()
    assert made.exists()
    temporary.remove(made)
    assert list(here.iterdir()) == [left]


def test_a_process_whose_starter_is_gone_takes_its_folders_with_it(here):
    code = HELD.replace("time.sleep(600)", "from polyrec.distributed.join import _end_with_parent; _end_with_parent()")
    environment = {**os.environ, "TMPDIR": str(here)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    run = subprocess.Popen([sys.executable, "-c", code], text=True, env=environment, **pipes)
    made = Path(run.stdout.readline().strip())
    assert made.exists()
    run.communicate()
    assert run.returncode == 1
    assert not made.exists()
