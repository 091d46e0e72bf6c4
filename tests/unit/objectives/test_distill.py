import pytest
import torch
from torch.nn import functional

from polyrec.batch import Output
from polyrec.errors import ConfigError
from polyrec.objectives.distill import DISTILL, Distilled
from polyrec.objectives.objective import build
from polyrec.objectives.start import begin
from polyrec.schema import ALL
from polyrec.testing import example_layout, random_batch

LAYOUT = example_layout()


@pytest.fixture
def base():
    return build("pointwise", LAYOUT)


def answer(base, batch, seed, width=5):
    random = torch.Generator().manual_seed(seed)
    logits = {head: torch.randn(len(batch), generator=random, requires_grad=True) for head in base.heads}
    return Output(logits, {"bottom": torch.randn(len(batch), width, generator=random, requires_grad=True)})


def taught(base, told):
    return lambda batch: (told, base.predict(told))


def by_hand(base, output, told, batch, alpha, temperature):
    """Row by row, from the formula."""
    total = 0.0
    for row in range(len(batch)):
        losses = []
        for one in (output, told):
            loss = 0.0
            for target, logit in base.predict(one).items():
                label, inside = batch.target(target)
                if target.space == ALL and inside[row]:
                    p = torch.sigmoid(logit[row].double())
                    loss -= (p if label[row] > 0.5 else 1 - p).log().item()
            losses.append(loss)
        share = 1 / (1 + 2.718281828459045 ** (-(losses[0] - losses[1]) / temperature))
        gap = (output.hidden["bottom"][row] - told.hidden["bottom"][row]).double()
        total += batch.weight[row].item() * share * (gap**2).sum().item() / len(gap)
    return alpha * total / batch.weight.double().sum().item()


def test_the_term_is_the_formula(base):
    batch = random_batch(LAYOUT, 30, seed=1)
    output, told = answer(base, batch, 0), answer(base, batch, 1)
    made = Distilled(base, taught(base, told), {"bottom": (5, 5)}, alpha=0.3, temperature=2.0)
    terms = made(output, batch)
    assert tuple(terms) == made.terms
    assert terms[DISTILL].item() == pytest.approx(by_hand(base, output, told, batch, 0.3, 2.0), rel=1e-4)
    for name, term in base(output, batch).items():
        assert torch.equal(term, terms[name])


def test_a_row_of_no_weight_is_not_distilled(base):
    batch = random_batch(LAYOUT, 20, seed=1)
    batch.weight[:10] = 0.0
    output, told = answer(base, batch, 0), answer(base, batch, 1)
    Distilled(base, taught(base, told), {"bottom": (5, 5)})(output, batch)[DISTILL].backward()
    gradient = output.hidden["bottom"].grad.abs().sum(1)
    assert (gradient[:10] == 0).all()
    assert (gradient[10:] > 0).all()


def test_only_the_student_moves(base):
    batch = random_batch(LAYOUT, 20, seed=1)
    output, told = answer(base, batch, 0), answer(base, batch, 1)
    Distilled(base, taught(base, told), {"bottom": (5, 5)})(output, batch)[DISTILL].backward()
    assert told.hidden["bottom"].grad is None
    assert all(one.grad is None for one in told.logits.values())
    assert all(one.grad is None for one in output.logits.values())  # a(b) stands still
    assert output.hidden["bottom"].grad.abs().sum() > 0


def test_rows_on_which_the_teacher_is_right_count_for_more(base):
    batch = random_batch(LAYOUT, 200, seed=1)
    output = answer(base, batch, 0)
    click = base.heads[0]
    label = batch.label(click)
    right = Output({**output.logits, click: (label - 0.5) * 20}, output.hidden)
    wrong = Output({**output.logits, click: (0.5 - label) * 20}, output.hidden)
    shares = []
    for told in (right, wrong):
        made = Distilled(base, taught(base, told), {"bottom": (5, 5)})
        made(output, batch)
        shares.append(float(made.watched["distilled_share"]))
    assert shares[0] > 0.5 > shares[1]


def test_not_adaptive_is_one_half_everywhere(base):
    batch = random_batch(LAYOUT, 10, seed=1)
    output, told = answer(base, batch, 0), answer(base, batch, 1)
    made = Distilled(base, taught(base, told), {"bottom": (5, 5)}, alpha=1.0, adaptive=False)
    gap = functional.mse_loss(output.hidden["bottom"], told.hidden["bottom"], reduction="none").mean(1)
    expected = 0.5 * (batch.weight * gap).sum() / batch.weight.sum()
    assert made(output, batch)[DISTILL].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_narrower_student_is_mapped_to_the_teachers_width(base):
    batch = random_batch(LAYOUT, 10, seed=1)
    output, told = answer(base, batch, 0, width=3), answer(base, batch, 1)
    made = Distilled(base, taught(base, told), {"bottom": (3, 5)})
    made(output, batch)[DISTILL].backward()
    assert made.maps["bottom"].weight.grad.shape == (5, 3)


def test_its_start_is_its_bases_and_so_is_what_it_serves(base):
    batch = random_batch(LAYOUT, 200, seed=1)
    made = Distilled(base, taught(base, answer(base, batch, 1)), {"bottom": (5, 5)})
    begin(made, [batch])
    alone = build("pointwise", LAYOUT)
    begin(alone, [batch])
    assert torch.equal(made.start, base.start)
    assert torch.equal(base.start, alone.start)
    assert made.served is base
    assert "_teacher" not in dict(made.named_modules())


def test_no_hidden_state_in_common_is_refused(base):
    with pytest.raises(ConfigError, match="no hidden state of one name"):
        Distilled(base, taught(base, None), {})
