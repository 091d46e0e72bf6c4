"""Bars are drawn where a person looks (a terminal), and nowhere else."""

import os
import pty
import subprocess
import sys

import pytest

from polyrec.cli import progress

pytestmark = pytest.mark.slow
# As the command does it, but for the two seconds' wait.
AT_ONCE = """
import polyrec.cli.progress
from polyrec.cli.main import main

polyrec.cli.progress.AFTER = polyrec.cli.progress._OFTEN = 0.0
main()
"""


def seen_on_a_terminal(*arguments, folder):
    """What a command draws on its stderr, a pseudo-terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "160"}
    command = [sys.executable, "-c", AT_ONCE, *map(str, arguments)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=theirs, env=environment) as process:
        os.close(theirs)
        drawn = b""
        while True:
            try:
                drawn += os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert process.returncode == 0, drawn.decode()
    return drawn.decode()


def written_to_a_pipe(*arguments, folder):
    command = [sys.executable, "-c", AT_ONCE, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stderr


def test_every_command_that_reads_many_rows_draws_how_far_it_is(log, tmp_path):
    bundle = tmp_path / "out" / "bundle"
    commands = {
        "fit": ("fit", log / "run.toml", "--out", tmp_path / "out", "--set", "training.epochs=1"),
        "predict": ("predict", bundle, log / "log.parquet", "--out", tmp_path / "p.parquet"),
        "evaluate": ("evaluate", bundle, log / "log.parquet"),
        "inspect": ("inspect", log / "log.parquet"),
        "simulate": ("simulate", "--out", tmp_path / "world", "--rows", 6_000),
    }
    drawn = {name: seen_on_a_terminal(*command, folder=tmp_path) for name, command in commands.items()}
    for what in ("reading training rows", "checking rows", "scoring rows"):
        assert what in drawn["fit"]
    assert "scoring rows" in drawn["predict"]
    assert "scoring rows" in drawn["evaluate"]
    assert "reading rows" in drawn["inspect"]
    assert "simulating rows" in drawn["simulate"]
    for name in ("predict", "evaluate", "inspect"):
        assert "of 6,000" in drawn[name], name
        assert "a second" in drawn[name], name
    assert "rows/s" in drawn["fit"], "training has its own bar"


def test_nothing_is_drawn_into_a_pipe(log, tmp_path):
    said = written_to_a_pipe("fit", log / "run.toml", "--out", tmp_path / "out", folder=tmp_path)
    said += written_to_a_pipe("inspect", log / "log.parquet", folder=tmp_path)
    assert "\x1b" not in said
    assert "reading" not in said
    assert "validation" in said, "lines that stay are written all the same"


def test_work_of_less_than_two_seconds_shows_no_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert progress.AFTER == 2.0
    with progress.bars() as told:
        told("reading rows", 0, 10)
        told("reading rows", 5, 10)
        told("reading rows", 10, 10)
    assert capsys.readouterr().err == ""
