import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from polyrec.data.encode import Encoder
from polyrec.data.loader import Loader, Position, cut
from polyrec.data.vocabulary import Vocabulary
from polyrec.data.where import Between, Share
from polyrec.errors import ConfigError, DataError
from polyrec.schema import Feature, Keys, Schema, Task

SCHEMA = Schema(
    Keys("tab", user="row"),
    (Feature("item", "categorical"), Feature("price", "numeric", transform="none"), Feature("seen", "sequence")),
    (Task("click", "click"),),
)


@pytest.fixture
def log(log):
    seen = [["a"] * (row % 4) + ["b"] for row in range(len(log))]
    return log.append_column("seen", [seen])


@pytest.fixture
def encoder(source):
    return Encoder(SCHEMA, Vocabulary.fit(SCHEMA, source))


def loader(source, encoder, **options):
    return Loader(source, encoder, **{"batch_size": 64, "shuffle_rows": 300, "seed": 5, "prefetch": 0, **options})


def rows(batches):
    return [one for batch in batches for one in batch.user.tolist()]


def same(one, two):
    names = ("ids", "numerics", "scenario", "labels", "observed", "weight", "user")
    return (
        all(torch.equal(getattr(one, name), getattr(two, name)) for name in names)
        and torch.equal(one.sequences["seen"].values, two.sequences["seen"].values)
        and torch.equal(one.sequences["seen"].offsets, two.sequences["seen"].offsets)
    )


def test_an_epoch_holds_every_row_once_in_another_order(source, encoder):
    batches = [batch for _, batch in loader(source, encoder).epoch(0)]
    assert sorted(rows(batches)) == list(range(1000))
    assert rows(batches) != list(range(1000))


def test_batches_are_nearly_equal_and_steps_counts_them(source, encoder):
    for where in (None, Between("week", 2, 9), Share(0.1, 0.8, 3)):
        for shuffle_rows, batch_size in ((300, 64), (64, 64), (50, 64), (1000, 7), (5000, 1000)):
            made = loader(type(source)(source.paths, where), encoder, shuffle_rows=shuffle_rows, batch_size=batch_size)
            sizes = [len(batch) for _, batch in made.epoch(1)]
            assert sum(sizes) == made.rows
            assert len(sizes) == made.steps
            assert max(sizes) <= batch_size
    sizes = [len(batch) for _, batch in loader(source, encoder).epoch(0)]
    assert sizes == [60] * 15 + [50, 50]  # three windows of 300 and one of 100


def test_each_epoch_has_its_own_order_and_repeats_it(source, encoder):
    def order(epoch, **options):
        return rows(batch for _, batch in loader(source, encoder, **options).epoch(epoch))

    assert order(0) == order(0) == order(0, prefetch=2)
    assert order(0) != order(1)
    assert order(0) != order(0, seed=6)


def test_rows_move_within_their_window(source, encoder):
    first = next(iter(loader(source, encoder, shuffle_rows=1000, batch_size=1000).epoch(0)))[1]
    places = torch.tensor(rows([first]), dtype=torch.float64)
    apart = torch.corrcoef(torch.stack([places, torch.arange(1000, dtype=torch.float64)]))[0, 1]
    assert abs(float(apart)) < 0.1


@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize("where", [None, Share(0.0, 0.7, 1)])
def test_going_on_from_any_position_gives_the_same_batches(source, encoder, prefetch, where):
    made = loader(type(source)(source.paths, where), encoder, prefetch=prefetch)
    whole = list(made.epoch(3))
    for done, (after, _) in enumerate(whole, start=1):
        kept = Position(**json.loads(json.dumps(asdict(after))))
        rest = list(loader(made.source, encoder, prefetch=prefetch).epoch(3, kept))
        assert [position for position, _ in rest] == [position for position, _ in whole[done:]]
        assert all(same(one, two) for (_, one), (_, two) in zip(rest, whole[done:], strict=True))


def test_the_last_position_leaves_nothing(source, encoder):
    *_, (last, _) = loader(source, encoder).epoch(0)
    assert last == Position(4, 0)
    assert list(loader(source, encoder).epoch(0, last)) == []


def test_batches_of_a_window_share_its_memory(source, encoder):
    batches = [batch for _, batch in loader(source, encoder, shuffle_rows=1000).epoch(0)]
    assert len({batch.ids.untyped_storage().data_ptr() for batch in batches}) == 1
    assert all(batch.ids.is_contiguous() for batch in batches)


@pytest.mark.parametrize("prefetch", [0, 1])
def test_ordered_gives_the_rows_of_the_files_in_full_batches(source, encoder, prefetch):
    batches = list(loader(source, encoder, prefetch=prefetch).ordered())
    assert rows(batches) == list(range(1000))
    assert [len(batch) for batch in batches] == [64] * 15 + [40]
    assert not any(batch.observed.any() for batch in loader(source, encoder).ordered(labels=False))


def test_an_epoch_is_strict_and_an_ordered_pass_heeds_the_schema(source, encoder):
    vocabulary = replace(encoder.vocabulary, scenarios=("feed", "home"))
    partial = Encoder(replace(SCHEMA, unknown_scenario="shared"), vocabulary)
    with pytest.raises(DataError, match="scenario 'search'"):
        list(loader(source, partial, prefetch=1).epoch(0))
    assert min(int(batch.scenario.min()) for batch in loader(source, partial).ordered()) == -1


def test_leaving_an_epoch_early_leaves_no_thread(source, encoder):
    stream = loader(source, encoder, prefetch=2).epoch(0)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "polyrec-ahead"]


def test_twenty_epochs_some_broken_off_some_failing_leave_no_thread(source, encoder):
    partial = Encoder(SCHEMA, replace(encoder.vocabulary, scenarios=("feed", "home")))
    whole, failing = (loader(source, one, prefetch=2) for one in (encoder, partial))
    for number in range(20):
        for place, _ in enumerate(whole.epoch(number)):
            if place == number:
                break
        with pytest.raises(DataError, match="scenario 'search'"):
            list(failing.epoch(number))
    assert not [thread for thread in threading.enumerate() if thread.name == "polyrec-ahead"]


def test_options_out_of_bounds_are_refused(source, encoder):
    for options in ({"batch_size": 0}, {"shuffle_rows": 0}, {"prefetch": -1}, {"mixed": 0}):
        with pytest.raises(ConfigError, match="must be at least 1, the last at least 0"):
            loader(source, encoder, **options)


def test_an_empty_batch_is_cut_into_nothing(encoder, log):
    assert cut(encoder.encode(log.slice(0, 0)), 8) == []


PEAK = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.loader import Loader
from polyrec.data.vocabulary import Vocabulary
from polyrec.schema import Feature, Keys, Schema, Task
path, times = Path(sys.argv[1]), int(sys.argv[2])
names = ("household_id", "item_type", "category", "store_id", "hour", "age", "income")
features = tuple(Feature(name, "categorical") for name in names)
numbers = tuple(Feature(name, "numeric") for name in ("prev_visits", "days_since_last_buy"))
schema = Schema(Keys("scenario", user="household_id"), features + numbers, (Task("buy", "buy"),))
source = Source((path,) * times)
encoder = Encoder(schema, Vocabulary.fit(schema, source))
loader = Loader(source, encoder, batch_size=4096, shuffle_rows=65536, seed=0, prefetch=1)
assert sum(len(batch) for _, batch in loader.epoch(0)) == source.rows()
assert sum(len(batch) for batch in loader.ordered()) == source.rows()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_ten_times_the_rows_take_no_more_memory(journey_small):
    def peak(times):
        command = [sys.executable, "-c", PEAK, str(journey_small), str(times)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)

    once, ten_times = peak(1), peak(10)
    assert ten_times <= 1.15 * once


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_encoding_ahead_starts_no_second_team_of_threads(tmp_path):
    """A second OpenMP team makes the first one sleep between products: every step of training would be slower."""
    done = subprocess.run([sys.executable, "-c", THREADS, str(tmp_path)], capture_output=True, text=True, check=True)
    before, during = map(int, done.stdout.split())
    assert during == before + 1  # the thread that encodes


THREADS = """
import os, sys
import torch
from pathlib import Path
from polyrec.config import DataConfig
from polyrec.data.loader import Loader
from polyrec.data.simulate import simulate
from polyrec.recipes.prepare import prepare
torch.set_num_threads(2)
folder = Path(sys.argv[1])
simulate(folder, rows=60_000, preset="balanced", scenarios=2, seed=0)
rows = prepare(DataConfig(str(folder / "schema.toml"), log=(str(folder / "log.parquet"),)))
loader = Loader(rows.splits.train, rows.encoder, batch_size=1000, shuffle_rows=20_000, prefetch=0)
for _ in loader.epoch(0):
    pass  # the readers' own threads are there now
torch.rand(1000, 1000) @ torch.rand(1000, 1000)
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
loader.prefetch = 1
batches = loader.epoch(1)
next(batches), next(batches)
print(before, count())
"""


@pytest.mark.parametrize("prefetch", [0, 1])
def test_batches_are_pinned_where_it_is_asked_for(source, encoder, prefetch, monkeypatch):
    """Nothing can be pinned without a GPU: what is asked of each tensor is counted, and its batches stay the same."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda one: pinned.append(one.data_ptr()) or one)
    plain = list(loader(source, encoder, prefetch=prefetch).epoch(2))
    assert not pinned
    found = list(loader(source, encoder, prefetch=prefetch, pin=True).epoch(2))
    assert all(same(one, other) for (_, one), (_, other) in zip(plain, found, strict=True))
    assert len(pinned) == 9 * -(-len(rows(batch for _, batch in plain)) // 300), "seven tensors and a sequence's two"
    assert {batch.ids.untyped_storage().data_ptr() for _, batch in found} <= set(pinned)
