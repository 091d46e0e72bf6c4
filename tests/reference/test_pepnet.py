"""Chang et al. 2023, equations 1 to 8."""

import numpy as np


def test_pepnet_gates_embeddings_by_scenario_and_layers_by_user_and_item(paper):
    found = paper.case("pepnet", widths=(8, 6), gate_width=5)
    state = found.state

    def gate(at, u):
        h = paper.relu(state[f"{at}.first.weight"] @ u + state[f"{at}.first.bias"])
        return 2.0 * paper.sigmoid(state[f"{at}.last.weight"] @ h + state[f"{at}.last.bias"])

    def logit(row, head):
        x = paper.x_row(state, found.batch, row, scenario=False)
        scenario = paper.scenario_row(state, int(found.batch.scenario[row]))
        gated = x * gate("embedding_gate", np.concatenate([scenario, x]))
        prior = np.concatenate([x[:32], gated])  # user and item lie first
        h = gated
        for layer, width in enumerate((8, 6)):
            delta = gate(f"gates.{layer}", prior)[head * width : (head + 1) * width]
            h = delta * paper.relu(h @ state[f"layers.{layer}.weight"][head] + state[f"layers.{layer}.bias"][head])
        return (h @ state["end.weight"][head] + state["end.bias"][head])[0]

    paper.agree(found, logit)


def test_pepnet_stops_the_gradient_of_the_embeddings_that_its_gates_read(paper):
    found = paper.case("pepnet", widths=(8,), gate_width=5)
    model, batch = found.model, found.batch
    model.layers[0].weight.data.zero_()  # cut the way through the network: only the layer's gate is left
    model.layers[0].bias.data.fill_(1.0)
    sum(logit.sum() for logit in model(batch).logits.values()).backward()
    moved = (model.inputs.embedding.tables["16"].weight.grad.to_dense() != 0).any(1).nonzero()[:, 0].tolist()
    users, items = set(batch.ids[:, 0].tolist()), {23 + item for item in batch.ids[:, 1].tolist()}
    assert set(moved) == users | items  # the prior learns; hour, tags and history, read through sg, do not
    assert not model.inputs.scenario.grad.any()
