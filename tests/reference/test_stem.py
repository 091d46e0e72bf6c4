"""Su et al. 2024: tables of each head beside shared ones; all experts forward, own and shared ones backward."""

import numpy as np
import torch

OPTIONS = {"own_experts": 2, "shared_experts": 1, "expert_widths": (12, 7), "tower_widths": (5,)}
# Two experts of each head, then the shared one: whose tables each reads, and where it is.
EXPERTS = [(0, "own", 0), (0, "own", 1), (1, "own", 2), (1, "own", 3), (2, "shared", 0)]


def view(state, place):
    """The state as if the inputs of head `place` (2: shared) were the model's only ones."""
    start = f"inputs.{place}."
    return {"inputs." + key.removeprefix(start): one for key, one in state.items() if key.startswith(start)}


def test_stem_reads_the_experts_of_every_head(paper):
    found = paper.case("stem", **OPTIONS)
    state = found.state

    def logit(row, head):
        x = [paper.x_row(view(state, place), found.batch, row) for place in range(3)]
        hidden = [
            paper.mlp(state, name, x[owner], lambda one, place=place: one[place]) for owner, name, place in EXPERTS
        ]
        gate = (x[head] + x[2]) @ state["gates.layer.weight"][head] + state["gates.layer.bias"][head]
        mixed = sum(share * one for share, one in zip(paper.softmax(gate), hidden, strict=True))
        return paper.mlp(state, "towers.network", mixed, lambda one: one[head], linear_end=True)[0]

    paper.agree(found, logit)


def test_a_head_reads_another_heads_experts_and_does_not_teach_them(paper):
    found = paper.case("stem", tables="dense", **OPTIONS)
    model, batch = found.model, found.batch
    model(batch).logits["click"].sum().backward()
    others = [one for name, one in model.named_parameters() if name.startswith("inputs.1.")]
    mine = [one for name, one in model.named_parameters() if name.startswith(("inputs.0.", "inputs.2."))]
    assert all(one.grad is None or not one.grad.any() for one in others)
    assert all(one.grad is not None and one.grad.any() for one in mine)
    assert [bool(one.any()) for one in model.own.layers[0].weight.grad] == [True, True, False, False]
    assert model.shared.layers[0].weight.grad.any()
    with torch.no_grad():
        for one in others:
            one.add_(1.0)
        after = model(batch).logits["click"]
    assert not np.allclose(after.numpy(), found.output.logits["click"].numpy())
