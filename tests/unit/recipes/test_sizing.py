"""What the planner reckons is what is built."""

from math import inf, nan

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from polyrec.cli import fit
from polyrec.config import RunConfig
from polyrec.errors import ConfigError
from polyrec.nn.table import Table
from polyrec.recipes.assemble import assemble
from polyrec.recipes.prepare import prepare
from polyrec.recipes.sizing import GB, Held, Sized, Sizing, sizing
from polyrec.testing import random_batch
from polyrec.training.optim import Optimizer


def config(log, **training):
    return RunConfig.load(log / "run.toml", {f"training.{key}": value for key, value in training.items()})


def size(tensors):
    return sum(one.numel() * one.element_size() for one in tensors)


@pytest.mark.parametrize("tables", ["sparse", "dense"])
def test_one_process_holds_the_weights_and_the_state_that_are_reckoned(log, tables):
    run = config(log, tables=tables)
    (stage,) = sizing(run, 1).stages
    assembly = assemble(run, prepare(run.data).encoder.layout)
    assert stage.weights(1, None) == size(assembly.model.parameters())
    optimizer = Optimizer({"model": assembly.model}, assembly.training, 10)
    batch = random_batch(prepare(run.data).encoder.layout, 50)
    output = assembly.model(batch)
    torch.stack(list(output.logits.values())).sum().backward()
    gradients = size(one.grad for one in assembly.model.parameters() if one.grad is not None and not one.grad.is_sparse)
    optimizer.step(0)
    state = {name: one for name, one in optimizer.state().items() if not name.endswith(".step")}
    assert stage.training(1, None) == (size(state.values()), gradients, stage.weights(1, None))


def test_a_row_costs_six_operations_a_dense_weight(log):
    run = RunConfig.load(log / "run.toml", {"model.dim": 16})
    layout = prepare(run.data).encoder.layout
    model = assemble(run, layout).model
    with FlopCounterMode(display=False) as counted:
        torch.stack(list(model(random_batch(layout, 200)).logits.values())).sum().backward()
    assert counted.get_total_flops() / 200 == pytest.approx(6 * sizing(run, 2).stages[0].dense, rel=0.05)


def test_tables_are_reckoned_without_being_built(log):
    run = config(log)
    before = torch.get_default_device()
    found = sizing(run, 2)
    assert torch.get_default_device() == before
    built = [one for one in assemble(run, prepare(run.data).encoder.layout).model.modules() if isinstance(one, Table)]
    assert [(one.rows, one.dim) for one in found.stages[0].tables] == [tuple(one.weight.shape) for one in built]


LARGE, SMALL, DENSE = Held("a", 1001, 4, True), Held("b", 50, 4, True), Held("c", 70, 4, False)
STAGE = Sized("train", (LARGE, SMALL, DENSE), dense=10, copies=1)


def test_the_memory_of_a_process_is_what_it_holds_of_each_part():
    # Weights 4 (10 + 4 (501 + 50 + 70)) and a copy; 4 (501 + 50) of row-wise, 8 (10 + 4 * 70) of Adam, 4 of gradients.
    assert Sizing((STAGE,), 2, 1000).memory == 2 * 4 * (10 + 4 * 621) + 4 * 551 + 12 * 290
    assert Sizing((STAGE,), 2, None).memory == 2 * 4 * (10 + 4 * 1121) + 4 * 1051 + 12 * 290


def test_a_budget_splits_as_few_tables_as_it_can():
    whole, one, both = (Sizing((STAGE,), 2, least) for least in (None, 1001, 50))
    assert whole.within(whole.memory) == whole
    assert whole.within(whole.memory - 1) == one
    assert whole.within(one.memory - 1) == both
    with pytest.raises(ConfigError, match=r"--memory .*: 2 processes need .* GB each even where every table is split"):
        whole.within(both.memory - 1)


def test_a_dry_run_tells_what_lies_where_and_trains_nothing(log, polyrec):
    memory = (sizing(config(log), 2).memory - 1) / GB
    done = polyrec("fit", log / "run.toml", "--processes", "2", "--dry-run", "--memory", memory)
    assert done.code == 0, done.err
    assert "split by row" in done.out
    least = int(done.out.splitlines()[-1].removeprefix("set [training] shard_rows = "))
    assert f"those of {least:,} rows or more are split" in done.out
    assert sorted(one.name for one in log.iterdir()) == ["log.parquet", "run.toml", "schema.toml"]


def test_a_budget_without_a_dry_run_is_refused(log, polyrec):
    done = polyrec("fit", log / "run.toml", "--memory", "1")
    assert done.code == 2
    assert "--memory is for --dry-run" in done.err


@pytest.mark.parametrize("memory", [0.0, -1.0, nan, inf])
def test_a_budget_is_a_number_above_0(memory, log):
    with pytest.raises(ConfigError, match=f"--memory {memory:g} must be a number of GB above 0"):
        fit.run(log / "run.toml", dry_run=True, memory=memory)


def test_tables_of_adam_are_not_split(log):
    with pytest.raises(ConfigError, match="shard_rows is for tables = 'sparse'"):
        sizing(config(log, tables="dense", shard_rows=10), 2)
