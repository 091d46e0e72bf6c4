"""Tables that several processes share answer what one whole table answers, and learn the same."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polyrec.nn.table import Table

SIZE = 3


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("lookups") / "found.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"WORLD_SIZE": SIZE, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    shared = {**os.environ, **{key: str(one) for key, one in given.items()}}
    command = [sys.executable, str(Path(__file__).with_name("lookups.py")), str(out)]
    started = [subprocess.Popen(command, env={**shared, "RANK": str(rank)}) for rank in range(SIZE)]
    assert [one.wait(60) for one in started] == [0] * SIZE
    return {**torch.load(out), "saved": load_file(f"{out}.safetensors")}


@pytest.fixture(scope="module")
def whole(found):
    """The same by one table: fresh rows, answers of each step, and rows after a step of gradient descent."""
    kind, (rows, dim, zero) = torch.get_default_dtype(), found["size"]
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(3)
        one, small = Table(rows, dim, zero=zero, sparse=False), Table(99, dim)
        after, answers, means = torch.rand(1), [], []
        for mine in (part for step in found["ids"] for part in step):
            answers.append(one(mine).flatten(1))
            means.append(one(mine).view(-1, 4, dim).mean(1))
            ((answers[-1] ** 2).sum() + means[-1].exp().sum()).backward()
    finally:
        torch.set_default_dtype(kind)
    learned = (one.weight - 0.1 * one.weight.grad).detach()
    told = {"after": after, "rows": torch.cat(answers).detach(), "means": torch.cat(means).detach()}
    return {**told, "learned": learned, "small": small.weight.detach()}


def test_only_large_tables_are_shared_and_each_process_holds_its_part(found):
    assert found["kinds"] == ("ShardedTable", "Table")
    assert found["held"] == -(-found["size"][0] // SIZE)
    assert found["count"] == found["size"][0] * found["size"][1]


def test_fresh_rows_and_what_is_drawn_after_them_are_those_of_one_table(found, whole):
    assert torch.equal(found["after"], whole["after"])
    assert torch.equal(torch.cat(found["rows"]), whole["rows"])


def test_means_are_those_of_one_table(found, whole):
    torch.testing.assert_close(torch.cat(found["means"]), whole["means"], rtol=1e-12, atol=1e-15)


def test_gradients_of_all_processes_reach_the_owner_of_a_row(found, whole):
    assert found["saved"].keys() == {"t.weight", "s.weight"}
    torch.testing.assert_close(found["saved"]["t.weight"], whole["learned"], rtol=1e-12, atol=1e-15)
    assert torch.equal(found["saved"]["s.weight"], whole["small"])


def test_the_first_process_looks_up_alone_while_the_others_wait(found, whole):
    rows = whole["learned"][torch.tensor([[5, 140_000], [5, 0]])]
    torch.testing.assert_close(torch.tensor(found["told"], dtype=torch.float64), rows, rtol=1e-12, atol=1e-15)


def test_a_whole_table_is_taken_in_by_its_owners(found):
    rows, dim, _ = found["size"]
    assert torch.equal(found["whole"], torch.arange(rows * dim, dtype=torch.float64).view(rows, dim))
