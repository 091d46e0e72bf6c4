"""Where the heads' logits start: the constants that the objective likes best."""

from collections.abc import Iterable, Sequence

import torch

from polyrec.batch import Batch, Output
from polyrec.objectives.objective import Objective
from polyrec.shapes import Float, Tensor

BOUND = 8.0  # of a starting logit: a head that the rows say nothing of stays within reach
ROWS = 65_536  # looked at
STEPS = 60


def begin(objective: Objective, batches: Iterable[Batch]) -> None:
    """Set `objective.start` to the constant logits of least loss on the first rows.

    A model that starts at probability one half on labels of one in a hundred spends its first steps on the base
    rate, and those steps' large gradients stay in every accumulator of a row-wise Adagrad. With the base rate as
    the starting point the model learns differences from the first step on. No label, head or funnel is named
    here: whatever the objective minimises is minimised over constants, step by step along the sign of its gradient.

    Formula:
        start = argmin_b sum of the objective's terms at logits b, |b| <= 8

    Example:
        >>> from polyrec.batch import Layout
        >>> from polyrec.objectives.objective import build
        >>> from polyrec.schema import Task
        >>> objective = build("pointwise", Layout(("home",), (Task("click", "c"),)))
        >>> none, labels = torch.zeros(4, 0), torch.tensor([[1.0], [0.0], [0.0], [0.0]])
        >>> zero, one = torch.zeros(4), torch.ones(4)
        >>> begin(objective, [Batch(objective.layout, none, none, zero, labels, labels >= 0, one, zero)])
        >>> round(float(torch.sigmoid(objective.start)), 3)
        0.25
    """
    kept: list[Batch] = []
    for batch in batches:
        kept.append(batch)
        if sum(map(len, kept)) >= ROWS:
            break
    if objective.start is None or not sum(map(len, kept)):
        return
    objective.start.zero_()
    wanted = torch.zeros_like(objective.start, requires_grad=True)
    search = torch.optim.Rprop([wanted], lr=0.5)  # by the gradient's sign: rare labels move as fast as others
    for _ in range(STEPS):
        search.zero_grad()
        with torch.enable_grad():
            total = _loss(objective, wanted, kept)
        if not torch.isfinite(total):
            return
        total.backward()  # type: ignore[no-untyped-call]
        search.step()
        with torch.no_grad():
            wanted.clamp_(-BOUND, BOUND)
    objective.start.copy_(wanted.detach())


def shift(logit: Float[Tensor, "B"], label: Float[Tensor, "B"], bound: float = 20.0) -> Float[Tensor, ""]:
    """The constant that, added to the logits, gives the least mean cross-entropy; by Newton's method.

    Example:
        >>> found = shift(torch.zeros(4), torch.tensor([1.0, 0.0, 0.0, 0.0]))
        >>> round(float(torch.sigmoid(found)), 3)
        0.25
    """
    found = torch.zeros((), dtype=logit.dtype)
    for _ in range(25):
        p = torch.sigmoid(logit + found)
        step = (label - p).sum() / (p * (1 - p)).sum().clamp(min=1e-9)
        found = (found + step.clamp(-2.0, 2.0)).clamp(-bound, bound)
    return found


def _loss(objective: Objective, start: Float[Tensor, "T"], batches: Sequence[Batch]) -> Float[Tensor, ""]:
    total = start.new_zeros(())
    for batch in batches:
        constant = {head: one.expand(len(batch)) for head, one in zip(objective.heads, start.unbind(0), strict=True)}
        total = total + torch.stack(list(objective(Output(constant), batch).values())).sum()
    return total
