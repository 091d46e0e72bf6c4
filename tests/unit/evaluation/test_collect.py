import numpy as np
import pytest
import torch
from torch import nn

from polyrec.errors import DataError
from polyrec.evaluation import collect
from polyrec.evaluation.collect import Collector
from polyrec.schema import Target
from polyrec.testing.layouts import example_layout, random_batch

LAYOUT = example_layout(3)


def score(batch):
    return {target: batch.numerics[:, 0] + place for place, target in enumerate(batch.layout.targets)}


def test_rows_keep_their_order_over_batches_of_any_size():
    batches = [random_batch(LAYOUT, rows, seed=rows) for rows in (5, 0, 1, 300)]
    found = collect.run(score, batches)
    assert len(found) == 306
    assert found.targets == LAYOUT.targets
    assert found.scenarios == ("s0", "s1", "s2")
    assert found.scenario.tolist() == torch.cat([one.scenario for one in batches]).tolist()
    assert found.user.tolist() == torch.cat([one.user for one in batches]).tolist()
    for place, target in enumerate(LAYOUT.targets):
        logits = torch.cat([one.numerics[:, 0] for one in batches]) + place
        assert found.logits[target].tolist() == logits.tolist()
        labels, inside = (torch.cat(parts) for parts in zip(*(one.target(target) for one in batches), strict=True))
        assert found.inside[target].tolist() == inside.tolist()
        assert found.labels[target].tolist() == ((labels > 0.5) & inside).tolist()


def test_an_unobserved_label_is_outside():
    found = collect.run(score, [random_batch(LAYOUT, 500)])
    assert not found.inside[Target("click")].all()
    assert not found.labels[Target("click")][~found.inside[Target("click")]].any()


def test_expected_rows_change_nothing_but_the_room_made():
    batches = [random_batch(LAYOUT, 40, seed=seed) for seed in range(3)]
    for rows in (0, 1, 120, 1000):
        assert collect.run(score, batches, rows=rows).fingerprint == collect.run(score, batches).fingerprint


def test_columns_grow_beyond_what_was_expected():
    collector = Collector(LAYOUT, rows=2)
    for seed in range(5):
        batch = random_batch(LAYOUT, 7, seed)
        collector.add(batch, score(batch))
    assert len(collector.done()) == 35


class Probe(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Dropout().eval()
        self.seen = []

    def forward(self, batch):
        self.seen.append((self.training, torch.is_inference_mode_enabled()))
        return score(batch)


@pytest.mark.parametrize("given", ["module", "method", "named"])
def test_a_model_is_scored_in_evaluation_mode_and_left_as_it_was(given):
    model = Probe().train()
    model.frozen.eval()
    if given == "named":
        collect.run(lambda batch: dict(model(batch)), [random_batch(LAYOUT, 2)], model=model)
    else:
        collect.run(model if given == "module" else model.forward, [random_batch(LAYOUT, 2)])
    assert model.seen == [(False, True)]
    assert model.training
    assert not model.frozen.training


def test_the_mode_is_restored_when_scoring_fails():
    model = Probe().train()

    def fail(batch):
        raise ValueError(batch)

    with pytest.raises(ValueError):
        collect.run(fail, [random_batch(LAYOUT, 2)], model=model)
    assert model.training


def test_half_precision_logits_are_kept_as_float32():
    found = collect.run(lambda batch: {one: z.half() for one, z in score(batch).items()}, [random_batch(LAYOUT, 2)])
    assert {one.dtype for one in found.logits.values()} == {np.dtype(np.float32)}


def test_a_missing_target_is_named():
    with pytest.raises(DataError, match=r"target 'buy' is not predicted\. Known: click"):
        collect.run(lambda batch: {Target("click"): batch.numerics[:, 0]}, [random_batch(LAYOUT, 2)])


def test_predictions_of_another_length_are_refused():
    with pytest.raises(DataError, match=r"'click' has predictions of shape \(2, 3\) for 2 rows: give one logit a row"):
        collect.run(lambda batch: dict.fromkeys(LAYOUT.targets, batch.numerics), [random_batch(LAYOUT, 2)])


def test_no_batch_at_all_is_refused_but_an_empty_one_is_not():
    with pytest.raises(DataError, match="there are no rows to evaluate: 0 batches"):
        collect.run(score, [])
    assert len(collect.run(score, [random_batch(LAYOUT, 0)])) == 0
