"""Checkpoints whose rows lie in files of several processes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyrec.errors import DataError
from polyrec.training.checkpoint import Checkpoint, load, remove_shards, save, shard


@given(rows=st.integers(0, 40), files=st.integers(1, 5), readers=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_rows_of_several_processes_are_read_by_any_number_of_them(tmp_path_factory, rows, files, readers):
    path = tmp_path_factory.mktemp("shards") / "train.safetensors"
    table, dense = torch.randn(rows, 3), torch.randn(2)
    for rank in range(files):
        save(shard(path, 4, rank), Checkpoint({"weights/a": table[rank::files].clone()}, {}))
    save(path, Checkpoint({"weights/b": dense}, {"shards": {"number": 4, "of": files, "names": ["weights/a"]}}))
    for rank in range(readers):
        found = load(path, lambda name, rank=rank: (rank, readers) if name == "weights/a" else (0, 1))
        assert torch.equal(found.tensors["weights/a"], table[rank::readers])
        assert torch.equal(found.tensors["weights/b"], dense)
    assert torch.equal(load(path).tensors["weights/a"], table)


@pytest.mark.parametrize("rows", [5, 200_003])
def test_rows_of_one_file_are_read_by_several_processes(tmp_path, rows):
    path, table = tmp_path / "train.safetensors", torch.randn(rows, 2)
    save(path, Checkpoint({"weights/a": table}, {}))
    for rank in range(3):
        assert torch.equal(load(path, lambda _, rank=rank: (rank, 3)).tensors["weights/a"], table[rank::3])


def test_a_shard_that_is_gone_is_told(tmp_path):
    path = tmp_path / "train.safetensors"
    save(path, Checkpoint({}, {"shards": {"number": 1, "of": 2, "names": ["weights/a"]}}))
    with pytest.raises(DataError, match=r"process-0/train\.1\.safetensors is damaged"):
        load(path)


def test_rows_of_earlier_checkpoints_are_removed_and_no_other_files(tmp_path):
    path = tmp_path / "train.safetensors"
    for number in (8, 9, 10):
        for name in ("train", "train.more"):
            save(shard(tmp_path / f"{name}.safetensors", number, 1), Checkpoint({}, {}))
    remove_shards(path, 10)
    left = ["train.10.safetensors", *(f"train.more.{number}.safetensors" for number in (10, 8, 9))]
    assert sorted(one.name for one in (tmp_path / "process-1").iterdir()) == left
    remove_shards(path)
    assert sorted(one.name for one in (tmp_path / "process-1").iterdir()) == left[1:]
