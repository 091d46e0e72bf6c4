"""Domain-adversarial training: hidden states from which a classifier cannot tell the target's rows from others."""

from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Output
from polyrec.errors import ConfigError
from polyrec.nn.mlp import MLP
from polyrec.nn.reversal import reversal
from polyrec.objectives.around import Around
from polyrec.objectives.objective import Objective, Terms

ADVERSARY = "adversary"


class Adversarial(Around):
    """The terms of an objective, and a classifier of the target's rows behind a reversed gradient.

    Formula:
        d(b) = D(reverse(h(b)))
        L_adversary = strength / 2 * (mean over target rows of softplus(-d) + mean over other rows of softplus(d))
        Both sides weigh the same, however many rows they have; a side without rows in the batch is left out.

    Args:
        base: gives terms, heads and predictions; it alone goes into a bundle.
        scenario: place of the target scenario.
        hidden: name of the hidden state h, and its width.
        strength: of the adversary.

    Source: Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks", with a strength that stands still.

    Raises:
        ConfigError: the model has no such hidden state.
    """

    def __init__(self, base: Objective, scenario: int, hidden: tuple[str, int], *, strength: float = 0.1) -> None:
        super().__init__(base, ADVERSARY)
        self.scenario, self.strength = scenario, strength
        self.name, width = hidden
        self.judge = nn.Sequential(MLP(width, (32,)), nn.Linear(32, 1))

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The base's terms and the adversary's."""
        terms = dict(self.base(output, batch))
        if not output.hidden:  # constants, while a starting point is looked for
            return {**terms, ADVERSARY: next(iter(output.logits.values())).sum() * 0.0}
        if self.name not in output.hidden:
            raise ConfigError(f"the model has no hidden state {self.name!r}. Known: {', '.join(output.hidden)}.")
        told = self.judge(reversal(output.hidden[self.name]))[:, 0]
        mine = batch.scenario == self.scenario
        total = told.sum() * 0.0
        for rows, sign in ((mine, -1.0), (~mine, 1.0)):
            missed = functional.softplus(sign * told) * rows
            total = total + missed.sum() / rows.sum().clamp(min=1)
        return {**terms, ADVERSARY: 0.5 * self.strength * total}
