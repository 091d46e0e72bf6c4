import errno
import multiprocessing
import signal
import time
from pathlib import Path

import pytest

from polyrec.bench.process import Ended, Lock, _work
from polyrec.config import RunConfig
from polyrec.errors import NotReadyError
from polyrec.recipes.fit import fit
from polyrec.recipes.folder import RunFolder
from polyrec.training import Interrupted
from polyrec.training.checkpoint import plain

SPENT = 1.5  # seconds of CPU, far above what these rows take


def stopped(run, folder):
    """An attempt that works long before its first validation is told, and is stopped then; seconds up to its end."""

    def told(text):
        if "validation" in text:
            begun = time.process_time()
            while time.process_time() < begun + SPENT:
                pass
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(run, folder.path, log=told, only_validate=True)
    return plain(folder.checkpoints / "train.safetensors")["place"]["cpu"]


def attempt(run, folder):
    """What a cell's process does, in this one."""
    mine, theirs = multiprocessing.Pipe(duplex=False)
    _work(theirs, run, folder.path, Lock(None), only_validate=True)
    return mine.recv()


def test_cpu_seconds_of_a_cell_that_was_stopped_count_all_attempts(log, tmp_path):
    run, folder = RunConfig.load(log / "run.toml", {"training.epochs": 1}), RunFolder(tmp_path / "run")
    first = stopped(run, folder)
    assert first > SPENT
    ended = attempt(run, folder)
    assert ended.error == ""
    assert ended.cpu_seconds > first
    assert attempt(run, folder) == Ended(None), "it had ended before: what it took is not known"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_as_such_whatever_training_made_of_it(tmp_path, monkeypatch):
    def full(*_, **options):
        try:
            Path("/dev/full").write_text("more than fits")
        except OSError as reason:
            raise NotReadyError("checkpoint could not be written. Run again with --resume.") from reason

    monkeypatch.setattr("polyrec.bench.process.fit", full)
    found = attempt(None, RunFolder(tmp_path))
    assert isinstance(found, OSError)
    assert (found.errno, found.filename) == (errno.ENOSPC, str(tmp_path))
