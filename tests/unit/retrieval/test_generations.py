"""A new index appears while readers hold the old one."""

import pytest

from polyrec.errors import NotReadyError
from polyrec.retrieval import Exact, Generations, store


def publish(root, text):
    return Generations(root).publish(lambda folder: (folder / "a").write_text(text))


def test_before_the_first_there_is_nothing_to_read(tmp_path):
    with pytest.raises(NotReadyError, match=r"holds no index\. Build one with `polyrec index`"):
        Generations(tmp_path / "index").read(lambda folder: folder)


def test_the_generation_before_stays_and_older_ones_go(tmp_path):
    for text in "abc":
        publish(tmp_path, text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000002", "000003", "current"]
    assert Generations(tmp_path).read(lambda folder: (folder / "a").read_text()) == "c"


def test_a_writer_that_fails_leaves_the_current_one(tmp_path):
    publish(tmp_path, "a")

    def fail(folder):
        (folder / "a").write_text("half")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="full"):
        Generations(tmp_path).publish(fail)
    assert Generations(tmp_path).read(lambda folder: (folder / "a").read_text()) == "a"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "current"]


def test_a_reader_whose_generation_was_replaced_under_it_reads_the_newer_one(tmp_path):
    publish(tmp_path, "a")
    opened = []

    def slow(folder):
        opened.append(folder.name)
        if len(opened) == 1:
            for text in "bcd":
                publish(tmp_path, text)
        return (folder / "a").read_text()

    assert Generations(tmp_path).read(slow) == "d"
    assert opened == ["000001", "000004"]


def test_a_mapped_index_goes_on_answering_after_its_files_are_gone(tmp_path):
    import torch

    vectors = torch.eye(4)
    generations = Generations(tmp_path)
    generations.publish(lambda folder: store.write(Exact(vectors), folder))
    index = generations.read(store.read)
    for _ in range(3):
        generations.publish(lambda folder: store.write(Exact(-vectors), folder))
    assert index.search(vectors, 1).places.tolist() == [[0], [1], [2], [3]]
    assert generations.read(store.read).search(-vectors, 1).places.tolist() == [[0], [1], [2], [3]]
