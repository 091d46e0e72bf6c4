import multiprocessing

import pytest

from polyrec.bench.process import METHOD, Lock
from polyrec.errors import ConfigError
from polyrec.recipes.folder import RunFolder


def wait(lock, question):
    question.send("begun")
    question.recv()


def test_a_folder_stays_held_as_long_as_a_process_lives_that_was_given_its_lock(tmp_path):
    folder = RunFolder(tmp_path / "out")
    context = multiprocessing.get_context(METHOD)
    mine, theirs = context.Pipe()
    with folder.held() as handle:
        process = context.Process(target=wait, args=(Lock(handle), theirs))
        process.start()
    try:
        with pytest.raises(ConfigError, match=r"another process is training in it\. Wait for it to end"), folder.held():
            pass
        assert mine.recv() == "begun"
        with pytest.raises(ConfigError, match="another process"), folder.held(patience=0.2):
            pass
        mine.send("end")
        with folder.held(patience=30):
            pass
    finally:
        process.kill()
        process.join()


def test_a_folder_is_emptied_unless_someone_trains_in_it_and_stays_the_same_folder(tmp_path):
    folder = RunFolder(tmp_path / "out")
    (folder.path / "checkpoints").mkdir(parents=True)
    (folder.path / "run.toml").write_text("mine")
    (tmp_path / "beside").mkdir()
    (folder.path / "link").symlink_to(tmp_path / "beside")
    before = folder.path.stat().st_ino
    with folder.held(), pytest.raises(ConfigError, match="another process"):
        folder.empty()
    assert folder.run.exists()
    folder.empty()
    assert not any(folder.path.iterdir())
    assert folder.path.stat().st_ino == before
    assert (tmp_path / "beside").exists()
