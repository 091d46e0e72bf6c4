"""Adaptive distillation: a student stays near a frozen teacher's hidden states where the teacher is right."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Output
from polyrec.errors import ConfigError
from polyrec.objectives.around import Around
from polyrec.objectives.objective import Objective, Predictions, Terms
from polyrec.schema import ALL
from polyrec.shapes import Float, Tensor

DISTILL = "distill"
_TOLD, _SAID = "teacher.hidden/", "teacher.logit/"


class Distilled(Around):
    """The terms of an objective, and one that pulls the student's hidden states to a teacher's.

    Formula:
        L_kd = sum_b w_b a(b) sum_l || P_l h_l(b) - stopgrad g_l(b) ||^2 / d_l / sum_b w_b
        a(b) = stopgrad sigmoid((loss_student(b) - loss_teacher(b)) / temperature)
        w: the rows' weights.
        h: the student's hidden states, g: the teacher's of the same names, d: their width, P: learned maps that start
        at the identity where widths agree. Rows on which the teacher predicts the labels better count for more. With
        `adaptive = False`, a = 1/2.

    A learned gate in the place of a(b) would close: its gradient always pushes it down.

    Args:
        base: gives terms, heads and predictions; it alone goes into a bundle.
        teacher: a batch to its output and its predictions; nothing of it moves.
        widths: of the student's and the teacher's hidden state, by name.
        alpha: weight of the term.
        temperature: of a(b).
        adaptive: whether a depends on the row.

    Source: Hou et al. 2024 (ECAT), adaptive knowledge distillation; the formula is this project's reconstruction.

    Raises:
        ConfigError: no hidden state that both have.
    """

    def __init__(
        self,
        base: Objective,
        teacher: Callable[[Batch], tuple[Output, Predictions]],
        widths: Mapping[str, tuple[int, int]],
        *,
        alpha: float = 0.1,
        temperature: float = 1.0,
        adaptive: bool = True,
    ) -> None:
        super().__init__(base, DISTILL)
        if not widths:
            raise ConfigError("student and teacher have no hidden state of one name: there is nothing to distil.")
        self.alpha, self.temperature, self.adaptive = alpha, temperature, adaptive
        self._teacher = [teacher]  # in a list: a module in it is neither moved, nor trained, nor saved
        self.maps = nn.ModuleDict({_safe(name): _map(*both) for name, both in widths.items()})
        self.names = {name: _safe(name) for name in widths}
        self._watched: dict[str, Tensor] = {}

    @property
    def watched(self) -> Mapping[str, Float[Tensor, ""]]:
        """The mean of a(b), and what the base watches."""
        return {**self.base.watched, **self._watched}

    def beside(self, output: Output, batch: Batch) -> Output:
        """The answer and, among the hidden states, the teacher's."""
        output = self.base.beside(output, batch)
        with torch.no_grad():
            told, right = self._teacher[0](batch)
        hidden = {f"{_TOLD}{name}": told.hidden[name] for name in self.names}
        hidden |= {f"{_SAID}{target.name}": logit for target, logit in right.items()}
        return replace(output, hidden={**output.hidden, **hidden})

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The base's terms and the distillation."""
        terms = dict(self.base(output, batch))
        if not output.hidden:  # constants, while a starting point is looked for
            return {**terms, DISTILL: next(iter(output.logits.values())).sum() * 0.0}
        if not any(name.startswith(_TOLD) for name in output.hidden):
            output = self.beside(output, batch)
        said = {target: f"{_SAID}{target.name}" for target in self.layout.targets}
        right = {target: output.hidden[name] for target, name in said.items() if name in output.hidden}
        with torch.no_grad():
            share = self._share(self.base.predict(output), right, batch)
            whole = batch.weight.sum().clamp(min=1e-12)
            self._watched = {"distilled_share": (batch.weight * share).sum() / whole}
        total = batch.weight.new_zeros(len(batch))
        for name, safe in self.names.items():
            gap = self.maps[safe](output.hidden[name]) - output.hidden[f"{_TOLD}{name}"].detach()
            total = total + gap.square().mean(1)
        return {**terms, DISTILL: self.alpha * (batch.weight * share * total).sum() / whole}

    def _share(self, mine: Predictions, teachers: Predictions, batch: Batch) -> Float[Tensor, "B"]:
        if not self.adaptive:
            return torch.full_like(batch.weight, 0.5)
        better = row_losses(mine, batch) - row_losses(teachers, batch)
        return torch.sigmoid(better / self.temperature)


def row_losses(predictions: Predictions, batch: Batch) -> Float[Tensor, "B"]:
    """Each row's cross-entropy over all impressions, summed over the tasks that were observed.

    Example:
        >>> from polyrec.batch import Layout
        >>> from polyrec.schema import Target, Task
        >>> layout, none = Layout(("home",), (Task("click", "c"),)), torch.zeros(2, 0)
        >>> label, zero = torch.tensor([[1.0], [0.0]]), torch.zeros(2)
        >>> batch = Batch(layout, none, none, zero, label, label >= 0, zero + 1, zero)
        >>> [round(one, 4) for one in row_losses({Target("click"): torch.tensor([0.0, -9.0])}, batch).tolist()]
        [0.6931, 0.0001]
    """
    total = torch.zeros_like(batch.weight)
    for target, logit in predictions.items():
        if target.space == ALL:
            label, inside = batch.target(target)
            total = total + functional.binary_cross_entropy_with_logits(logit, label, reduction="none") * inside
    return total


def _map(width: int, goal: int) -> nn.Linear:
    made = nn.Linear(width, goal, bias=False)
    if width == goal:
        nn.init.eye_(made.weight)
    return made


def _safe(name: str) -> str:
    """A name that a module may have."""
    return name.replace(".", "_") or "_"
