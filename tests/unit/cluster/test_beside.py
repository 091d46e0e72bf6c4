"""One command at a time works beside --out, and nobody removes what is another's."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from polyrec.cluster.beside import beside
from polyrec.cluster.fit import fit
from polyrec.config import RunConfig
from polyrec.errors import ConfigError

HOLD = """
import sys
from pathlib import Path
from polyrec.cluster.beside import beside
with beside(Path(sys.argv[1])) as own:
    (own / "counts").mkdir()
    print(own, flush=True)
    sys.stdin.readline()
"""


def held(out):
    """Another process that works beside, and its folder."""
    command = [sys.executable, "-c", HOLD, str(out)]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return run, Path(run.stdout.readline().strip())


def test_the_second_command_is_refused_and_leaves_the_first_one_alone(log, tmp_path):
    first, own = held(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"--out .*/out: another command with --ray is at work on it\. Wait"):
        fit(RunConfig.load(log / "run.toml"), tmp_path / "out", workers=2)
    assert (own / "counts").exists()
    with beside(tmp_path / "other"):
        assert (own / "counts").exists()
    first.communicate("\n")
    assert not own.parent.exists()
    with beside(tmp_path / "out") as again:
        assert again.exists()
    assert not again.parent.exists()


def test_what_a_killed_command_left_is_removed_by_the_next(tmp_path):
    first, own = held(tmp_path / "out")
    first.kill()
    first.communicate()
    assert (own / "counts").exists()
    with beside(tmp_path / "out") as again:
        assert not own.exists()
        assert list(again.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_without_locks_each_command_removes_its_own(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with beside(tmp_path / "out") as one:
        with beside(tmp_path / "out") as other:
            assert one != other
        assert one.exists()
        assert not other.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_removed_while_it_was_opened_is_made_again(tmp_path, monkeypatch):
    real, left = fcntl.flock, [1]

    def flock(handle, how):
        real(handle, how)
        if left:
            left.pop()
            (tmp_path / ".out.ray" / "lock").unlink()  # as the command does that had it until now

    monkeypatch.setattr(fcntl, "flock", flock)
    with beside(tmp_path / "out") as own, pytest.raises(ConfigError), beside(tmp_path / "out"):
        pass
    assert not left
    assert not own.exists()
