"""What objectives on user and item vectors share: who is a candidate for whom, and how often an item is drawn."""

import torch
from torch import nn

from polyrec.batch import NO_USER, Batch, Layout, Output
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.objectives.objective import Objective, Predictions
from polyrec.shapes import Bool, Float, Int, Tensor

BUCKETS = 131_072  # of hashed (scenario, item) pairs whose draws are counted
_ODD = 0x5851F42D4C957F2D  # an odd multiplier: it spreads neighbouring keys over all bits


class VectorObjective(Objective):
    """An objective that reads hidden `user` and `item`. One head; a target's logit is that head's, whichever it is.

    A logit orders items for a user; it is no calibrated probability.

    Args:
        layout: what a batch holds.
        task: whose label makes a row a positive; the first task where None.
    """

    starts = False

    def __init__(self, layout: Layout, task: str | None) -> None:
        super().__init__(layout)
        names = [one.name for one in layout.tasks]
        if task is not None and task not in names:
            raise ConfigError("[objective] task: " + unknown("task", task, names, "in the schema"))
        self.task = task or names[0]

    @property
    def heads(self) -> tuple[str, ...]:
        """The task's own."""
        return (self.task,)

    def predict(self, output: Output) -> Predictions:
        """The logit of the one head, for every target."""
        return dict.fromkeys(self.layout.targets, output.logits[self.task])

    def positives(self, batch: Batch) -> Bool[Tensor, "B"]:
        """Rows on which the task's label was observed and is 1."""
        place = self.layout.task_index(self.task)
        return batch.observed[:, place] & (batch.labels[:, place] > 0.5)


def vectors(output: Output) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
    """The user and item vectors of a model's answer.

    Raises:
        ConfigError: the model has no such vectors.
    """
    for name in ("user", "item"):
        if name not in output.hidden:
            known = ", ".join(output.hidden) or "none"
            raise ConfigError(
                f"this objective needs a model with hidden {name!r}; it has {known}. Use two_tower or sass."
            )
    return output.hidden["user"], output.hidden["item"]


def identity(batch: Batch, what: str) -> Int[Tensor, "B"]:
    """Which rows are of one user or item.

    Raises:
        DataError: rows have no such key.
    """
    found = batch.user if what == "user" else batch.item
    if found is None or (len(found) and bool((found == NO_USER).all())):
        raise DataError(
            f"rows have no {what} key: this objective must tell {what}s apart. Set [keys] {what} in the schema."
        )
    return found


def strangers(batch: Batch, rows: Int[Tensor, "P"], columns: Int[Tensor, "C"], positive: Bool[Tensor, "B"]) -> Tensor:
    """Which columns' items may stand as negatives for which rows: [P, C].

    Of the row's own scenario, another item than the row's, and none that the row's user answered positively in
    another row of the batch.
    """
    scenario, user, item = batch.scenario, identity(batch, "user"), identity(batch, "item")
    near = scenario[rows][:, None] == scenario[columns][None]
    other = item[rows][:, None] != item[columns][None]
    liked = torch.nonzero(positive)[:, 0]
    # whom each column's item was liked by: pairs (user, item) of the positives, looked up for every (row, column)
    pairs = _pair(user[liked], item[liked])
    known = torch.isin(_pair(user[rows][:, None], item[columns][None]), pairs)
    return near & other & ~known


class Frequencies(nn.Module):
    """How often each item is drawn in each scenario, counted as batches come: the Q of a sampled softmax.

    `Q_s(i) = (n_si + 1) / (n_s + 1)`, n counted over the batches seen in training, this one included. Pairs are
    hashed into buckets; state is checkpointed.

    Source: the correction is that of Yi et al. 2019, "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations"; counts stand in place of their estimate of the steps between two draws.

    Example:
        >>> counts = Frequencies(1)
        >>> here = torch.zeros(4, dtype=torch.int64)
        >>> counts.count(here, torch.tensor([7, 7, 7, 9]))
        >>> counts.log_q(here, torch.tensor([7, 7, 7, 9])).exp().tolist()[2:]
        [0.800000011920929, 0.4000000059604645]
    """

    counts: Tensor
    totals: Tensor

    def __init__(self, scenarios: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(BUCKETS, dtype=torch.int64))
        self.register_buffer("totals", torch.zeros(scenarios + 1, dtype=torch.int64))

    def count(self, scenario: Int[Tensor, "C"], item: Int[Tensor, "C"]) -> None:
        """Take note of a batch's candidates."""
        one = torch.ones_like(scenario, dtype=torch.int64)
        self.counts.index_add_(0, _bucket(scenario, item), one)
        self.totals.index_add_(0, scenario.long(), one)  # -1: the last place

    def log_q(self, scenario: Int[Tensor, "C"], item: Int[Tensor, "C"]) -> Float[Tensor, "C"]:
        """Log of the share of a scenario's draws that are this item."""
        drawn = self.counts[_bucket(scenario, item)].float()
        return torch.log((drawn + 1.0) / (self.totals[scenario.long()].float() + 1.0))

    def places(self, old: "Frequencies") -> dict[str, Int[Tensor, "R"]]:
        """Where the totals of `old`, which knows fewer scenarios, lie here: the last one stays the last."""
        totals = torch.arange(len(old.totals))
        totals[-1] = len(self.totals) - 1
        return {"totals": totals}


def _bucket(scenario: Tensor, item: Tensor) -> Tensor:
    return (_pair(scenario, item) >> 20) % BUCKETS


def _pair(one: Tensor, other: Tensor) -> Tensor:
    """A number for each pair, hashed: two pairs share one once in 2^63."""
    mixed = (one.long() * _ODD) ^ other.long()
    mixed = (mixed ^ (mixed >> 29)) * _ODD
    return mixed ^ (mixed >> 32)
