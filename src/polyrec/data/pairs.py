"""Batches in which the same users, and the same items, are seen in two scenarios."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from polyrec.batch import Batch
from polyrec.data.held import ByScenario, Entity, join, keys
from polyrec.data.loader import START, Position
from polyrec.errors import ConfigError, DataError


class Together:
    """Batches of one loader, each with a batch of pairs behind it whose labels count as not observed.

    So an objective of labels and one of pairs learn from the same step. The pairs go round: their epochs follow one
    another for as long as the first loader's epoch lasts.
    """

    def __init__(self, first: ByScenario, pairs: "Pairs") -> None:
        self.first, self.pairs = first, pairs

    @property
    def rows(self) -> int:
        """Rows of the first loader in an epoch."""
        return self.first.rows

    @property
    def steps(self) -> int:
        """Batches in an epoch: those of the first loader."""
        return self.first.steps

    def epoch(self, number: int, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        """The batches of an epoch from `start` on, each with the position that comes after it."""
        for place, (after, batch) in enumerate(self.first.epoch(number, start), start=start.batch):
            beside = self.pairs.draw(number, place)
            yield after, join([batch, replace(beside, observed=torch.zeros_like(beside.observed))])


class _Views:
    """Rows of one kind of entity, one a scenario, and who is seen in two scenarios."""

    def __init__(self, held: Batch, what: Entity) -> None:
        self.held, self.scenarios = held, len(held.layout.scenarios)
        scenario = held.scenario.numpy()
        names, entity = np.unique(keys(held, what).numpy(), return_inverse=True)
        self.row = np.full((self.scenarios, len(names)), -1, dtype=np.int64)
        self.row[scenario, entity] = np.arange(len(scenario))
        seen = (self.row >= 0).astype(np.float32)
        self.common = (seen @ seen.T).astype(np.int64)  # [S, S]

    def draw(self, pair: tuple[int, int], most: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the same entities in the one scenario and in the other."""
        one, other = (self.row[place] for place in pair)
        both = np.flatnonzero((one >= 0) & (other >= 0))
        chosen = random.permutation(both)[:most]
        return one[chosen], other[chosen]


class Pairs:
    """Batches of one pair of scenarios each: users seen in both, items seen in both, every one in two rows.

    A step draws a pair (p, q) with a weight in proportion to the root of how many users and items they have in
    common, then up to `batch_size` / 4 of those users and as many of the items: half of the batch's rows are of p.
    Labels play no part. With `mask_id`, the id of an entity is shown as out of vocabulary in one of its two
    views, drawn anew each time, with that probability, so that the id alone does not give the pair away. Everything
    is drawn from (seed, epoch, step) and nothing else.

    Args:
        users: one row for each user and scenario (`held.one_each`).
        items: one row for each item and scenario.
        batch_size: the most rows of a batch, at least 8.
        seed: of the draws.
        mask_id: probability, in [0, 1].
        ids: the categorical fields that are the ids of user and item; None where there is none.

    Raises:
        DataError: no two scenarios have two users or two items in common.
        ConfigError: sizes out of their bounds.
    """

    def __init__(
        self,
        users: Batch,
        items: Batch,
        *,
        batch_size: int,
        seed: int = 0,
        mask_id: float = 0.0,
        ids: tuple[int | None, int | None] = (None, None),
    ) -> None:
        if batch_size < 8 or not 0.0 <= mask_id <= 1.0:
            raise ConfigError(f"batch_size = {batch_size} must be at least 8, mask_id = {mask_id} within 0 and 1.")
        self.users, self.items = _Views(users, "user"), _Views(items, "item")
        self.batch_size, self.seed, self.mask_id, self.ids = batch_size, seed, mask_id, ids
        common = np.triu(np.where(self.users.common > 1, self.users.common, 0), 1)
        common = common + np.triu(np.where(self.items.common > 1, self.items.common, 0), 1)
        self.places = np.argwhere(common > 0)
        if not len(self.places):
            raise DataError(
                "no two scenarios have users or items in common: there is nothing to contrast. "
                "Train without the stage that learns from pairs (recipe sass-base)."
            )
        weight = np.sqrt(common[tuple(self.places.T)])
        self.weight = weight / weight.sum()

    @property
    def rows(self) -> int:
        """Rows in an epoch: about as many as there are users and items by scenario."""
        return len(self.users.held) + len(self.items.held)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.rows // self.batch_size)

    def epoch(self, number: int, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        """The batches of an epoch from `start` on, each with the position that comes after it."""
        for step in range(start.batch, self.steps):
            yield Position(0, step + 1), self.draw(number, step)

    def draw(self, epoch: int, step: int) -> Batch:
        """The batch of a step, whatever came before it."""
        random = np.random.default_rng((self.seed, epoch, step))
        one, other = self.places[random.choice(len(self.places), p=self.weight)].tolist()
        parts = []
        for views, column in zip((self.users, self.items), self.ids, strict=True):
            left, right = views.draw((one, other), self.batch_size // 4, random)
            part = views.held.select(torch.from_numpy(np.concatenate([left, right])))
            parts.append(self._masked(part, column, len(left), random))
        return join(parts)

    def _masked(self, part: Batch, column: int | None, pairs: int, random: np.random.Generator) -> Batch:
        """The id hidden in the first or the second view of some pairs."""
        if column is None or not self.mask_id:
            return part
        hidden = np.flatnonzero(random.random(pairs) < self.mask_id)
        rows = hidden + pairs * random.integers(0, 2, len(hidden))
        ids = part.ids.clone()
        ids[torch.from_numpy(rows), column] = 0
        return replace(part, ids=ids)
