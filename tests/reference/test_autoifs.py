"""AutoIFS against the formulas of the paper, written with plain tensors: logits, loss and one step's gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from polyrec import models
from polyrec.batch import Batch, Field, Layout
from polyrec.models.autoifs import AutoIFS
from polyrec.schema import Task
from polyrec.training import Carry

SIZES = (11, 7)
LAYOUT = Layout(
    scenarios=("a", "b", "c"),
    tasks=(Task("click", "c"), Task("like", "l")),
    categorical=(Field("user", SIZES[0], "user"), Field("item", SIZES[1], "item")),
)
HEADS = ("click", "like")
LETTER = {"dim": 4, "widths": (8, 6), "scenario_widths": (5,), "rank": 2, "selector": "row", "selector_widths": (7, 5)}
TAU = 3.7
ROWS = 24


def batch():
    draw = torch.Generator().manual_seed(3)
    ids = torch.stack([torch.randint(0, size, (ROWS,), generator=draw) for size in SIZES], 1)
    scenario = torch.randint(0, 3, (ROWS,), generator=draw)
    labels = (torch.rand(ROWS, 2, generator=draw) < 0.5).double()
    none = torch.zeros(ROWS, 0, dtype=torch.float64)
    return Batch(
        LAYOUT, ids, none, scenario, labels, labels >= 0, torch.ones(ROWS), torch.zeros(ROWS, dtype=torch.long)
    )


def build(**options):
    torch.manual_seed(0)
    model = models.build("autoifs", LAYOUT, HEADS, {**LETTER, **options}).double()
    with torch.no_grad():
        for one in model.parameters():
            one.add_(torch.randn_like(one) * 0.3)
        if model.selector is not None:
            model.selector.gate.temperature.fill_(TAU)
    return model


class Plain:
    """The same net from its state: every line is a formula of the specification."""

    def __init__(self, model, fusion, hard):
        self.weights = {name: one.detach().clone().requires_grad_() for name, one in model.named_parameters()}
        self.fusion, self.hard = fusion, hard

    def x(self, rows, start):
        table = self.weights[f"{start}embedding.tables.4.weight"]
        fields = [table[rows.ids[:, 0]], table[SIZES[0] + rows.ids[:, 1]]]
        return torch.cat([*fields, self.weights[f"{start}scenario"][rows.scenario]], 1)

    def affine(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def mlp(self, x, name, layers):
        for place in range(layers):
            x = torch.relu(self.affine(x, f"{name}.layers.{2 * place}"))
        return x

    def logits(self, rows):
        w = self.weights
        x = self.x(rows, "inputs.")
        h = self.mlp(x, "bottom", 2)
        k = rows.scenario
        s = self.affine(h, "scenario.shared.0")
        down, up, b = (w[f"scenario.own.0.{part}"] for part in ("down", "up", "bias"))
        p = torch.stack([(h[i] @ down[k[i], 0]) @ up[k[i], 0] + b[k[i], 0] for i in range(ROWS)])
        seen = self.x(rows, "selector.inputs.") if self.hard else x.detach()
        gates = self.affine(self.mlp(seen, "selector.network.hidden", 2), "selector.network.end")
        found = []
        for m in range(2):
            w_m = gates[:, 4 * m : 4 * m + 4]
            g = (w_m > 0).double() if self.hard else 1 / (1 + torch.exp(-TAU * w_m))
            if self.hard and self.fusion == "select":  # the flow of least w is kept
                g = torch.where(w_m == w_m.min(-1, keepdim=True).values, 0.0, g)
            found.append(self.subtract(s, p, g, m) if self.fusion == "subtract" else self.select(s, p, g, m))
        return torch.stack(found, 1)

    def shared_task(self, z):
        return self.affine(z, "task.shared.0")[:, 0]

    def own_task(self, z, m):
        w = self.weights
        return ((z @ w["task.own.0.down"][m]) @ w["task.own.0.up"][m] + w["task.own.0.bias"][m])[:, 0]

    def flows(self, s, p, m):
        return torch.stack([self.shared_task(s), self.own_task(p, m), self.own_task(s, m), self.shared_task(p)], 1)

    def subtract(self, s, p, g, m):
        u = torch.relu(s + p)
        full = self.shared_task(u) + self.own_task(u, m)
        return full - (g * self.flows(s, p, m)).sum(1)

    def select(self, s, p, g, m):
        return self.weights["bias"][m, 0] + ((1 - g) * self.flows(torch.relu(s), torch.relu(p), m)).sum(1)


def loss(logits, rows):
    """The sum over tasks of the mean cross-entropy."""
    return sum(functional.binary_cross_entropy_with_logits(logits[:, m], rows.labels[:, m]) for m in range(2))


@pytest.mark.parametrize("hard", [False, True], ids=["search", "retrain"])
@pytest.mark.parametrize("fusion", ["subtract", "select"])
def test_logits_loss_and_gradients_are_those_of_the_formulas(fusion, hard):
    model, rows = build(fusion=fusion, gates="hard" if hard else "soft", tables="dense"), batch()
    plain = Plain(model, fusion, hard)
    output = model(rows)
    mine = torch.stack([output.logits[head] for head in HEADS], 1)
    expected = plain.logits(rows)
    assert torch.allclose(mine, expected, rtol=0, atol=1e-10)
    one, other = loss(mine, rows), loss(expected, rows)
    assert float((one - other).detach().abs()) < 1e-10
    one.backward()
    other.backward()
    for name, parameter in model.named_parameters():
        found, wanted = parameter.grad, plain.weights[name].grad
        if hard and name.startswith("selector."):
            assert found is None or not found.any(), name
            assert wanted is None or not wanted.any(), name
            continue
        assert wanted is not None, name
        assert torch.allclose(found, wanted, rtol=0, atol=1e-6), name


def test_the_gates_of_the_hard_model_differ_by_row_and_flow():
    hidden = build(gates="hard").eval()(batch()).hidden
    gates = torch.stack([hidden[f"prune/{head}"] for head in HEADS])
    assert set(gates.unique().tolist()) == {0.0, 1.0}
    assert 0 < float(gates.mean()) < 1


def test_units_start_as_the_paper_says():
    torch.manual_seed(0)
    model = models.build(
        "autoifs", LAYOUT, HEADS, {**LETTER, "widths": (600, 500), "scenario_widths": (400,), "fusion": "subtract"}
    )
    own, head = model.scenario.own[0], model.task.own[0]
    assert not any(one.any() for one in (own.up, own.bias, head.up, head.bias))
    assert not model.scenario.shared[0].bias.any()
    for weight, sizes in ((own.down, (500, 2)), (model.scenario.shared[0].weight, (500, 400)), (head.down, (400, 2))):
        assert float(weight.detach().std()) == pytest.approx((2 / sum(sizes)) ** 0.5, rel=0.1)


def test_pruning_all_four_flows_leaves_what_the_authors_definition_leaves():
    """full - flows = ReLU(-(s + p)) (W_t + A_t B_t), less the biases that are subtracted once too often."""
    model, rows = build(fusion="subtract"), batch()
    with torch.no_grad():
        model.selector.network.end.bias.fill_(1e6)
        found = model(rows).logits["click"]
    plain = Plain(model, "subtract", False)
    h = plain.mlp(plain.x(rows, "inputs."), "bottom", 2)
    down, up, b = (plain.weights[f"scenario.own.0.{part}"] for part in ("down", "up", "bias"))
    p = torch.stack([(h[i] @ down[k, 0]) @ up[k, 0] + b[k, 0] for i, k in enumerate(rows.scenario)])
    rest = torch.relu(-(plain.affine(h, "scenario.shared.0") + p))
    bias = plain.weights["task.shared.0.bias"] + plain.weights["task.own.0.bias"][0]
    expected = plain.shared_task(rest) + plain.own_task(rest, 0) - 2 * bias
    assert torch.allclose(found, expected, rtol=0, atol=1e-8)


DEEP = {"scenario_widths": (6, 5), "task_widths": (4,)}


@pytest.mark.parametrize("options", [{}, DEEP], ids=["flat", "deep"])
def test_the_four_increments_together_are_the_full_net(options):
    model, rows = build(fusion="increment", **options), batch()
    with torch.no_grad():
        model.bias.zero_()
        model.selector.network.end.bias.fill_(-1e6)  # nothing pruned
        output = model(rows)
        z = output.hidden["bottom"]
        k = rows.scenario
        for place, (shared, own) in enumerate(zip(model.scenario.shared, model.scenario.own, strict=True)):
            z = torch.relu(z) if place else z
            mine = torch.stack([z[i] @ own.down[k[i], 0] @ own.up[k[i], 0] + own.bias[k[i], 0] for i in range(ROWS)])
            z = shared(z) + mine
        z = torch.relu(z)
        for m, head in enumerate(HEADS):
            y = z
            for place, (shared, own) in enumerate(zip(model.task.shared, model.task.own, strict=True)):
                y = torch.relu(y) if place else y
                y = shared(y) + y @ own.down[m] @ own.up[m] + own.bias[m]
            assert torch.allclose(output.logits[head], y[:, 0], rtol=0, atol=1e-9)


def test_deep_stacks_carry_the_four_flows_separately():
    """Each flow passes through its own two units in every layer, activated in between."""
    model, rows = build(fusion="select", **DEEP), batch()
    with torch.no_grad():
        h = model(rows).hidden["bottom"]
        k = rows.scenario

        def own(z, layer):
            part = model.scenario.own[layer]
            return torch.stack([z[i] @ part.down[k[i], 0] @ part.up[k[i], 0] + part.bias[k[i], 0] for i in range(ROWS)])

        s = torch.relu(model.scenario.shared[1](torch.relu(model.scenario.shared[0](h))))
        p = torch.relu(own(torch.relu(own(h, 0)), 1))

        def head(z, m):
            first, last = model.task.own
            y = torch.relu(z @ first.down[m] @ first.up[m] + first.bias[m])
            return (y @ last.down[m] @ last.up[m] + last.bias[m])[:, 0]

        def common(z):
            return model.task.shared[1](torch.relu(model.task.shared[0](z)))[:, 0]

        for m, name in enumerate(HEADS):
            flows = (common(s), head(p, m), head(s, m), common(p))
            for place, flow in enumerate(flows):
                bias = torch.full((4,), 1e6, dtype=torch.float64)
                bias[place] = -1e6  # this flow alone is kept
                model.selector.network.end.bias.copy_(bias.repeat(2))
                assert torch.allclose(model(rows).logits[name], model.bias[m] + flow, rtol=0, atol=1e-9)


def test_the_selection_network_never_trains_the_embeddings():
    model, rows = build(tables="dense"), batch()
    w = model.selector(rows, None, model.inputs(rows))
    w.sum().backward()
    assert model.inputs.embedding.tables["4"].weight.grad is None
    assert model.selector.network.end.weight.grad.any()


def test_hard_gates_read_the_embeddings_that_they_were_found_with():
    search, rows = build(fusion="subtract"), batch()
    weights = {**build(fusion="subtract", gates="hard").state_dict(), **search.state_dict()}
    weights |= Carry("search", "inputs.", "selector.inputs.").renamed(search.state_dict())
    retrain = build(fusion="subtract", gates="hard")
    retrain.load_state_dict(weights)
    before = retrain(rows).hidden["prune/click"]
    soft = search(rows).hidden["prune/click"]
    assert torch.equal(before, (soft > 0.5).double())
    with torch.no_grad():
        nn.init.normal_(retrain.inputs.embedding.tables["4"].weight)
    assert torch.equal(retrain(rows).hidden["prune/click"], before)


@pytest.mark.parametrize("fusion", ["subtract", "select", "increment"])
def test_a_row_of_unknown_scenario_uses_the_shared_scenario_unit_alone(fusion):
    model, rows = build(fusion=fusion).eval(), batch()
    rows.scenario.fill_(-1)
    with torch.no_grad():
        before = model(rows).logits["click"]
        for one in model.scenario.own.parameters():
            one.normal_()
        assert torch.equal(model(rows).logits["click"], before)
    gates = model(rows).hidden["prune/click"]
    assert set(gates[:, [1, 3]].unique().tolist()) == {0.0 if fusion == "subtract" else 1.0}


def test_a_scenario_without_an_adapter_has_only_what_is_shared():
    torch.manual_seed(0)
    model: AutoIFS = models.build("autoifs", LAYOUT, HEADS, {**LETTER, "adapters": ("c", "a")})
    assert model.scenario.own[0].down.shape[0] == 2
    assert model.adapter.tolist() == [0, -1, 1]
    from polyrec.errors import ConfigError

    with pytest.raises(ConfigError, match=r"scenario 'd' is not in the schema. Known: a, b, c"):
        models.build("autoifs", LAYOUT, HEADS, {**LETTER, "adapters": ("d",)})


def test_the_temperature_rises_by_epoch_to_its_peak():
    gate = build(peak=100.0).selector.gate
    seen = []
    for epoch in range(10):
        gate.pace(epoch + 0.7, 10)
        seen.append(float(gate.temperature))
    assert seen == pytest.approx([100 ** (e / 9) for e in range(10)])


def test_the_price_of_kept_flows_is_a_penalty_over_tasks():
    model, rows = build(price=0.5), batch()
    output = model(rows)
    kept = sum(float((1 - output.hidden[f"prune/{head}"])[:, 1:].detach().mean()) for head in HEADS)  # own flows
    assert float(output.penalties["kept flows"].detach()) == pytest.approx(0.5 * kept)
    assert not build(price=0.5, gates="hard")(rows).penalties


def test_gates_that_wait_stand_still_and_then_sharpen_over_the_rest():
    model, rows = build(price=0.5, wait=0.5, anneal="step", selector="cell"), batch()
    gate = model.selector.gate
    gate.pace(0.9, 2)
    output = model(rows)
    assert not output.penalties["kept flows"].requires_grad
    sum(one.sum() for one in output.logits.values()).backward()
    assert model.selector.network.weight.grad is None
    gate.pace(1.5, 2)
    assert float(gate.temperature) == pytest.approx(100**0.5)
    sum(one.sum() for one in model(rows).logits.values()).backward()
    assert float(model.selector.network.weight.grad.abs().sum()) > 0
