"""In-batch and sampled softmax, BPR and InfoNCE against loops over rows; what they leave out, and their state."""

import math
from dataclasses import replace

import pytest
import torch

from polyrec.batch import Output
from polyrec.errors import ConfigError, DataError
from polyrec.objectives import objective
from polyrec.testing import example_layout, random_batch

LAYOUT = example_layout()


def case(rows=40, seed=0):
    batch = random_batch(LAYOUT, rows, seed=seed)
    batch = replace(batch, user=batch.user % 6, item=batch.item % 9, weight=torch.rand(rows) + 0.5)
    random = torch.Generator().manual_seed(seed)
    user, item = (
        torch.nn.functional.normalize(torch.randn(rows, 4, generator=random), dim=1).requires_grad_() for _ in "ui"
    )
    return batch, Output({"click": (user * item).sum(1)}, {"user": user, "item": item})


def liked(batch):
    return (batch.observed[:, 0] & (batch.labels[:, 0] > 0.5)).tolist()


def negatives(batch, i, candidates):
    mine = liked(batch)
    user, item, scenario = batch.user.tolist(), batch.item.tolist(), batch.scenario.tolist()
    his = {item[j] for j in range(len(batch)) if mine[j] and user[j] == user[i]}
    return [j for j in candidates if scenario[j] == scenario[i] and item[j] != item[i] and item[j] not in his]


def softmax_by_rows(batch, output, temperature, *, all_rows, log_q):
    mine, near = liked(batch), (output.hidden["user"] @ output.hidden["item"].T).detach()
    columns = [j for j in range(len(batch)) if all_rows or mine[j]]
    drawn = {}
    for j in columns:
        key = int(batch.scenario[j]), int(batch.item[j])
        drawn[key] = drawn.get(key, 0) + 1

    def energy(i, j):
        key = int(batch.scenario[j]), int(batch.item[j])
        total = sum(count for (scenario, _), count in drawn.items() if scenario == key[0])
        return float(near[i, j]) / temperature - (math.log((drawn[key] + 1) / (total + 1)) if log_q else 0.0)

    lost = weight = 0.0
    for i in range(len(batch)):
        if mine[i]:
            below = [math.exp(energy(i, j)) for j in [i, *negatives(batch, i, columns)]]
            lost += float(batch.weight[i]) * -math.log(below[0] / sum(below))
            weight += float(batch.weight[i])
    return lost / weight


@pytest.mark.parametrize("log_q", [True, False])
@pytest.mark.parametrize("name", ["in_batch_softmax", "sampled_softmax"])
def test_softmax_is_its_formula_row_by_row(name, log_q):
    batch, output = case()
    made = objective.build(name, LAYOUT, {"temperature": 0.5, "log_q": log_q})
    term = made(output, batch)["click"]
    expected = softmax_by_rows(batch, output, 0.5, all_rows=name == "sampled_softmax", log_q=log_q)
    assert float(term.detach()) == pytest.approx(expected, rel=1e-5)


def test_bpr_is_its_formula_row_by_row():
    batch, output = case(seed=1)
    near, lost, weight = (output.hidden["user"] @ output.hidden["item"].T).detach(), 0.0, 0.0
    for i, mine in enumerate(liked(batch)):
        against = negatives(batch, i, range(len(batch))) if mine else []
        if against:
            pairs = [math.log1p(math.exp(-float(near[i, i] - near[i, j]) / 0.5)) for j in against]
            lost += float(batch.weight[i]) * sum(pairs) / len(pairs)
            weight += float(batch.weight[i])
    term = objective.build("bpr", LAYOUT, {"temperature": 0.5})(output, batch)["click"]
    assert float(term.detach()) == pytest.approx(lost / weight, rel=1e-5)


def nce_by_pairs(vectors, entity, scenario, temperature):
    near, lost = (vectors @ vectors.T).detach(), []
    for a in range(len(entity)):
        for b in range(len(entity)):
            if entity[a] == entity[b] and scenario[a] != scenario[b]:
                others = [k for k in range(len(entity)) if scenario[k] == scenario[b] and entity[k] != entity[a]]
                below = [math.exp(float(near[a, k]) / temperature) for k in [b, *others]]
                lost.append(-math.log(below[0] / sum(below)))
    return sum(lost) / len(lost)


def test_info_nce_is_its_formula_pair_by_pair_and_masks_repeated_entities():
    batch, output = case(seed=2)
    made = objective.build("contrastive", LAYOUT, {"temperature": 0.3, "item_weight": 0.5})
    terms = made(output, batch)
    assert tuple(terms) == made.terms == ("user", "item")
    scenario = batch.scenario.tolist()
    user = nce_by_pairs(output.hidden["user"], batch.user.tolist(), scenario, 0.3)
    item = nce_by_pairs(output.hidden["item"], batch.item.tolist(), scenario, 0.3)
    assert float(terms["user"].detach()) == pytest.approx(user, rel=1e-5)
    assert float(terms["item"].detach()) == pytest.approx(0.5 * item, rel=1e-5)


def test_contrasted_softmax_is_the_sum_of_its_parts():
    batch, output = case(seed=8)
    made = objective.build("contrasted_softmax", LAYOUT, {"contrast": 0.25, "contrast_temperature": 0.3})
    with torch.no_grad():
        terms = made(output, batch)
        softmax = objective.build("in_batch_softmax", LAYOUT)(output, batch)["click"]
        contrast = objective.build("contrastive", LAYOUT, {"temperature": 0.3})(output, batch)
    assert tuple(terms) == made.terms == ("click", "user", "item")
    assert float(terms["click"]) == pytest.approx(float(softmax))
    assert float(terms["user"]) == pytest.approx(0.25 * float(contrast["user"]))
    assert float(terms["item"]) == pytest.approx(0.25 * float(contrast["item"]))
    assert set(made.watched) == {"user_alignment", "user_uniformity", "item_alignment", "item_uniformity"}


def test_alignment_and_uniformity_are_watched_and_tell_a_collapse():
    batch, output = case(seed=3)
    made = objective.build("contrastive", LAYOUT)
    made(output, batch)
    healthy = {name: float(one) for name, one in made.watched.items()}
    assert set(healthy) == {"user_alignment", "user_uniformity", "item_alignment", "item_uniformity"}
    same = torch.ones(40, 4) / 2
    made(Output({}, {"user": same, "item": same}), batch)
    assert float(made.watched["user_alignment"]) == pytest.approx(0.0, abs=1e-6)
    assert float(made.watched["user_uniformity"]) == pytest.approx(0.0, abs=1e-6)
    assert healthy["user_uniformity"] < -1.0


@pytest.mark.parametrize("name", ["in_batch_softmax", "sampled_softmax", "bpr", "contrastive", "contrasted_softmax"])
def test_nothing_to_learn_from_is_zero_with_a_graph(name):
    batch, output = case(seed=4)
    batch = replace(batch, observed=torch.zeros_like(batch.observed), user=torch.arange(40), item=torch.arange(40))
    total = sum(objective.build(name, LAYOUT)(output, batch).values())
    assert float(total.detach()) == 0.0
    total.backward()
    assert float(output.hidden["user"].grad.abs().sum()) == 0.0


@pytest.mark.parametrize("name", ["in_batch_softmax", "sampled_softmax", "bpr"])
def test_rows_of_one_scenario_do_not_touch_those_of_another(name):
    batch, output = case(seed=5)
    made = objective.build(name, LAYOUT)
    mine = batch.scenario == 1
    sum(made(output, replace(batch, observed=batch.observed & mine[:, None])).values()).backward()
    for side in ("user", "item"):
        gradient = output.hidden[side].grad
        assert not bool((gradient[~mine] != 0).any())
        assert bool((gradient[mine] != 0).any())


def test_unlabelled_rows_take_part_in_contrast():
    batch, output = case(seed=6)
    made = objective.build("contrastive", LAYOUT)
    none = replace(batch, observed=torch.zeros_like(batch.observed), labels=torch.zeros_like(batch.labels))
    with torch.no_grad():
        assert float(made(output, batch)["user"]) == float(made(output, none)["user"]) > 0


def test_counts_are_state_and_stand_still_when_scoring():
    batch, output = case(seed=7)
    made = objective.build("in_batch_softmax", LAYOUT)
    made(output, batch)
    state = {name: one.clone() for name, one in made.state_dict().items()}
    assert int(state["frequencies.totals"].sum()) == sum(liked(batch))
    made.eval()
    made(output, batch)
    assert all(torch.equal(one, state[name]) for name, one in made.state_dict().items())
    assert made.start is None


def test_every_target_gets_the_logit_of_the_one_head():
    _, output = case()
    made = objective.build("bpr", LAYOUT)
    assert made.heads == ("click",)
    assert {target.name for target in made.predict(output)} == {"click", "buy", "buy_given_click"}


def test_what_cannot_be_trained_is_refused_in_words():
    batch, output = case()
    with pytest.raises(ConfigError, match=r"task 'clik' is not in the schema\. Known: click, buy\. Did you mean"):
        objective.build("bpr", LAYOUT, {"task": "clik"})
    made = objective.build("bpr", LAYOUT, {"task": "buy"})
    with pytest.raises(ConfigError, match="needs a model with hidden 'user'; it has bottom"):
        made(Output({}, {"bottom": output.hidden["user"]}), batch)
    with pytest.raises(DataError, match=r"rows have no item key.*Set \[keys\] item in the schema"):
        made(output, replace(batch, item=None))
