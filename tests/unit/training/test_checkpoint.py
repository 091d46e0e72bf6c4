import sys

import pytest
import torch

from polyrec.errors import DataError, NotReadyError
from polyrec.training import checkpoint
from polyrec.training.checkpoint import Checkpoint


def test_what_is_saved_is_loaded(tmp_path):
    tensors = {
        "weights/a": torch.randn(3, 2),
        "weights/b": torch.tensor(3),
        "random/cpu": torch.get_rng_state(),
        "empty": torch.zeros(0, 4),
    }
    checkpoint.save(tmp_path / "new" / "a.safetensors", Checkpoint(tensors, {"step": 3, "names": ["é"]}))
    found = checkpoint.load(tmp_path / "new" / "a.safetensors")
    assert set(found.tensors) == set(tensors)
    assert all(torch.equal(found.tensors[name], one) for name, one in tensors.items())
    assert (found.values["step"], found.values["names"]) == (3, ["é"])
    assert set(found.part("weights")) == {"a", "b"}


def test_tensors_that_share_memory_are_saved_each(tmp_path):
    whole = torch.arange(6.0)
    tensors = {"whole": whole, "again": whole, "part": whole[2:4], "turned": whole.reshape(2, 3).T}
    checkpoint.save(tmp_path / "a", Checkpoint(tensors, {}))
    found = checkpoint.load(tmp_path / "a").tensors
    assert all(torch.equal(found[name], one) for name, one in tensors.items())


def test_there_is_none_before_the_first(tmp_path):
    assert checkpoint.load(tmp_path / "a") is None


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_write_that_breaks_off_leaves_the_checkpoint_before_intact(tmp_path):
    import resource

    path = tmp_path / "a.safetensors"
    checkpoint.save(path, Checkpoint({"a": torch.ones(2)}, {"step": 1}))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(NotReadyError, match=r"could not be written: .*The checkpoint before it is intact"):
            checkpoint.save(path, Checkpoint({"a": torch.zeros(100_000)}, {"step": 2}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.load(path).values["step"] == 1
    assert [found.name for found in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotReadyError, match=r"could not be written: .*There is none before it"):
        checkpoint.save(tmp_path / "file" / "a.safetensors", Checkpoint({"a": torch.ones(1)}, {}))


def test_leftovers_of_a_killed_writer_go_with_the_next_checkpoint(tmp_path):
    (tmp_path / ".a.safetensors.123.tmp").write_bytes(b"half")
    checkpoint.save(tmp_path / "a.safetensors", Checkpoint({"a": torch.ones(1)}, {}))
    assert [found.name for found in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("damage", [b"", b"not safetensors at all", None])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, Checkpoint({"a": torch.ones(100)}, {}))
    path.write_bytes(path.read_bytes()[:-8] if damage is None else damage)
    with pytest.raises(DataError, match=r"a.safetensors is damaged: .*Remove it to start the stage anew"):
        checkpoint.load(path)


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    checkpoint.save(tmp_path / "a", Checkpoint({"a": torch.ones(1)}, {}))
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"has version 2; this polyrec reads 1"):
        checkpoint.load(tmp_path / "a")
