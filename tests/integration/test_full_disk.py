"""A disk that is really full while a checkpoint is written: a file system of 400 kB, mounted for the test."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from polyrec.errors import NotReadyError
from polyrec.training import checkpoint
from polyrec.training.checkpoint import Checkpoint

MOUNT = 'mount -t tmpfs -o size=400k tmpfs "$1" && shift && exec "$@"'


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoint_before_intact_and_says_so(tmp_path):
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", str(tmp_path)]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs a small file system, which this machine does not let the test mount")
    done = subprocess.run(
        [*inside, sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=False
    )
    said, step, *left = done.stdout.splitlines()
    assert said.endswith(
        "could not be written: the disk is full. The checkpoint before it is intact. "
        "Free some space and run again with --resume."
    )
    assert step == "1"
    assert left == ["a.safetensors"]


def fill(folder):
    path = folder / "a.safetensors"
    checkpoint.save(path, Checkpoint({"a": torch.ones(10)}, {"step": 1}))
    try:
        checkpoint.save(path, Checkpoint({"a": torch.ones(1_000_000)}, {"step": 2}))
    except NotReadyError as reason:
        print(reason)
    print(checkpoint.load(path).values["step"])
    print(*(found.name for found in folder.iterdir()), sep="\n")


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
