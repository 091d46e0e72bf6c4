"""Disks that are really full: small file systems, mounted for the test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from polyrec.errors import NotReadyError
from polyrec.training import checkpoint
from polyrec.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow
MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


def inside(size, folder, *command):
    """A command in a mount namespace of its own, where `folder` is a disk of that size."""
    start = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", size, str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*start, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a small file system, which this machine does not let the test mount")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, *command], capture_output=True, text=True, env=environment, check=False)
    assert "Traceback" not in done.stderr
    return done


def test_a_full_disk_leaves_the_checkpoint_before_intact_and_says_so(tmp_path):
    done = inside("400k", tmp_path, sys.executable, __file__, str(tmp_path))
    said, step, *left = done.stdout.splitlines()
    assert said.endswith(
        "could not be written: the disk is full. The checkpoint before it is intact. "
        "Free some space and run again with --resume."
    )
    assert step == "1"
    assert left == ["a.safetensors"]


EARLY = """
fit() { "$1" -m polyrec fit "$2" --out "$3/run" --set training.epochs=1 --only-validate $4 2>&1; }
fit "$@"; echo "code $?"
mount -o remount,size=64m "$3"
fit "$@" --resume; echo "code $?"
"""


@pytest.mark.long
def test_fit_that_finds_no_room_before_its_first_checkpoint_says_how_to_go_on(log, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = inside("20k", disk, "sh", "-c", EARLY, "sh", sys.executable, str(log / "run.toml"), str(disk))
    first, second, _ = done.stdout.split("code ")
    said = first.splitlines()[-1]
    assert said.startswith("polyrec: the disk is full")
    assert said.endswith(". What was finished is kept. Free some space and run again with --resume.")
    assert second.startswith("2\n")
    assert done.stdout.endswith("code 0\n")


FIT = """
fit() { "$1" -m polyrec fit "$2" --out "$3/run" --set training.checkpoint_steps=1 --set training.epochs=1 $4 2>&1; }
fit "$@"; echo "code $?"; ls -A "$3/run/checkpoints"; ls -d "$3/run/bundle" "$3/run/report.json"
mount -o remount,size=64m "$3"
fit "$@" --resume; echo "code $?"
"""


def test_fit_on_a_disk_that_fills_up_keeps_its_checkpoint_and_goes_on_when_there_is_space(log, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    # 1,000 kB hold one checkpoint of this run, not two.
    done = inside("1000k", disk, "sh", "-c", FIT, "sh", sys.executable, str(log / "run.toml"), str(disk))
    _train, _valid, _test, said, code, left, *resumed = done.stdout.splitlines()
    assert said.startswith("polyrec: checkpoint ")
    assert "the disk is full. The checkpoint before it is intact. Free some space and run again with --resume." in said
    assert code == "code 2"
    assert left == "train.safetensors", "nothing half-written lies beside it"
    assert done.stderr.count("No such file") == 2, "neither bundle nor report"
    assert "bundle: " in resumed[-2]
    assert resumed[-1] == "code 0"


SUITE = """
name = "full"
recipes = ["pooled", "mmoe"]
seeds = [0, 1]
[training]
epochs = 1
threads = 1
[[data]]
name = "mine"
run = "run.toml"
"""
BENCH = """
bench() { "$1" -m polyrec bench "$2" --out "$3/bm" 2>&1 >/dev/null; echo "code $?"; }
bench "$@"
mount -o remount,size=64m "$3"
bench "$@"
"""


@pytest.mark.long
def test_a_suite_ends_at_a_full_disk_and_the_same_command_goes_on(log, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (log / "suite.toml").write_text(SUITE, encoding="utf-8")
    # 1,400 kB hold what one cell leaves and not what the next one needs beside it.
    done = inside("1400k", disk, "sh", "-c", BENCH, "sh", sys.executable, str(log / "suite.toml"), str(disk))
    first, second, _ = done.stdout.split("code ")
    *finished, said = first.splitlines()
    assert said.startswith(f"polyrec: the disk is full: {disk / 'bm'}")
    assert said.endswith(". What was finished is kept. Free some space and give the same command again.")
    assert 0 < len(finished) < 4
    assert all(": validation " in one for one in finished), "no cell fails of it"
    code, *others = second.splitlines()
    assert code == "2"
    assert len(finished) + sum(": validation " in one for one in others) == 4
    assert done.stdout.endswith("code 0\n")


OUTPUTS = """
"$1" -m polyrec predict "$2" "$3" --out "$4/p.parquet" 2>&1; echo "code $?"
"$1" -m polyrec simulate --rows 20000 --out "$4/world" 2>&1; echo "code $?"
"$1" -m polyrec export "$2" --out "$4/exported" 2>&1; echo "code $?"
ls -A "$4"
"""


def test_outputs_that_do_not_fit_on_the_disk_are_not_there_at_all(log, polyrec, tmp_path):
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "run", "--set", "training.epochs=1").code == 0
    disk = tmp_path / "disk"
    disk.mkdir()
    bundle, rows = tmp_path / "run" / "bundle", log / "log.parquet"
    done = inside("32k", disk, "sh", "-c", OUTPUTS, "sh", sys.executable, str(bundle), str(rows), str(disk))
    predict, simulate, export, left = done.stdout.split("code ")
    full = "the disk is full"
    assert predict.startswith(f"polyrec: {full}")
    assert "Nothing half-written is left. Free some space, or name an --out on another disk." in predict
    assert simulate.startswith("2\n")
    assert "No space left on device" in simulate
    assert export.startswith("2\n")
    assert f"polyrec: {full}" in export
    assert left == "2\n", "nothing else is said, and nothing lies there"


READ_ONLY = """
mount -o remount,ro "$4"
"$1" -m polyrec predict "$2" "$3" --out "$4/p.parquet" 2>&1; echo "code $?"
"$1" -m polyrec export "$2" --out "$4/exported" 2>&1; echo "code $?"
"$1" -m polyrec predict "$2" "$3" --out "$4/new/p.parquet" 2>&1; echo "code $?"
"""


def test_a_read_only_disk_is_called_so(log, polyrec, tmp_path):
    assert polyrec("fit", log / "run.toml", "--out", tmp_path / "run", "--set", "training.epochs=1").code == 0
    disk = tmp_path / "disk"
    disk.mkdir()
    bundle, rows = tmp_path / "run" / "bundle", log / "log.parquet"
    done = inside("64m", disk, "sh", "-c", READ_ONLY, "sh", sys.executable, str(bundle), str(rows), str(disk))
    for said, name in zip(done.stdout.split("code 2\n")[:3], ("p.parquet", "exported", "new"), strict=True):
        lines = said.strip().splitlines()
        assert lines[-1] == f"polyrec: the disk is read-only: {disk / name}. Name an --out elsewhere."


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
