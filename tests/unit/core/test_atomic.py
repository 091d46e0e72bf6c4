import os
import subprocess
import sys

import pytest

from polyrec.atomic import whole_file, whole_folder, write_text


def test_a_file_is_never_put_in_place_of_a_device(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="a folder or a device: a file is not put in its place"):
        write_text(pipe, "text")
    assert pipe.is_fifo()


def test_a_file_is_never_put_in_place_of_a_folder_nor_a_folder_of_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("kept")
    with pytest.raises(FileExistsError, match="Name a file"), whole_file(tmp_path / "folder"):
        pass
    with pytest.raises(FileExistsError, match="Name a folder"), whole_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "kept"


def test_writing_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


@pytest.mark.parametrize("name", ["a.txt", "a[1]*.txt"])
def test_what_a_killed_writer_left_is_taken_away_and_a_living_ones_is_not(tmp_path, name):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for one in (dead, living):
            (tmp_path / f".{name}.{one.pid}.tmp").write_text("half")
            (tmp_path / f".folder.{one.pid}.tmp").mkdir()
            (tmp_path / f".folder.{one.pid}.tmp" / "a").write_text("half")
        (tmp_path / f".{name}.mine.tmp").write_text("not ours")
        write_text(tmp_path / name, "whole")
        with whole_folder(tmp_path / "folder"):
            pass
        left = {f".{name}.{living.pid}.tmp", f".folder.{living.pid}.tmp", f".{name}.mine.tmp", name, "folder"}
        assert {found.name for found in tmp_path.iterdir()} == left
    finally:
        living.communicate(b"\n")
