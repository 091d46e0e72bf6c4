"""Who is shown what: a policy that learns from the clicks of earlier days."""

import numpy as np
from numpy.typing import NDArray

from polyrec.data.simulate.draws import Floats, Ints
from polyrec.data.simulate.world import CATEGORIES, World

CANDIDATES = 3
FORGET = 0.9  # what a day leaves of the days before it
PRIOR = 20.0  # impressions that an item's first guess is worth
PULL = 0.7  # of a user's past clicks in a category


class Policy:
    """Draws users by activity and items by popularity and affinity, both counted on earlier days.

    An item's popularity in a scenario is `prominence * (clicks + prior rate) / (impressions + prior)`, decayed by
    day. Of a few candidates drawn by it, the row gets the one with the largest
    `PULL * log(affinity to its category) + Gumbel noise`. A share of rows is drawn evenly instead.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        shape = world.offer.shape
        self.clicks, self.shown = np.zeros(shape), np.zeros(shape)
        self.affinity = np.zeros((world.preset.users, CATEGORIES))
        self._clicks, self._shown = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._affinity = np.zeros(self.affinity.shape, np.int64)

    def start(self, day: int) -> None:
        """Close the day before and fix this day's tables: nothing seen today is used before tomorrow."""
        self.clicks = FORGET * self.clicks + self._clicks
        self.shown = FORGET * self.shown + self._shown
        self.affinity = FORGET * self.affinity + self._affinity
        for today in (self._clicks, self._shown, self._affinity):
            today[:] = 0
        world = self.world
        rate = world.preset.rates.click
        popular = world.goods.prominence * (self.clicks + PRIOR * rate) / (self.shown + PRIOR)
        offer = _at_least_one(world.offer & (world.goods.arrival <= day))
        members = _at_least_one(world.members & (world.people.arrival <= day))
        self._users = _ladder(world.people.activity * members)
        self._popular = _ladder(popular * offer)
        self._even = _ladder(offer.astype(np.float64))
        self._pull = PULL * np.log((self.affinity + 1) / (self.affinity.mean(1, keepdims=True) + 1))

    def users(self, index: Ints, scenario: Ints) -> Ints:
        """A user for each row, [B]."""
        return self._drawn(self._users, "row/user", index, scenario, self.world.preset.users)

    def items(self, index: Ints, scenario: Ints, user: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """An item for each row, [B], and which rows got it evenly."""
        draws, count = self.world.draws, self.world.preset.items
        best = np.full(len(index), -np.inf)
        chosen = np.zeros(len(index), np.int64)
        for place in range(CANDIDATES):
            item = self._drawn(self._popular, f"row/candidate{place}", index, scenario, count)
            gumbel = -np.log(-np.log1p(-draws.uniform(f"row/gumbel{place}", index) * (1 - 1e-12)) + 1e-300)
            score = self._pull[user, self.world.goods.category[item]] + gumbel
            better = score > best
            best[better], chosen[better] = score[better], item[better]
        explored = draws.uniform("row/explored", index) < self.world.preset.explored
        even = self._drawn(self._even, "row/even", index[explored], scenario[explored], count)
        chosen[explored] = even
        return chosen, explored

    def learn(self, scenario: Ints, user: Ints, item: Ints, clicked: NDArray[np.bool_]) -> None:
        """Count what was shown and clicked; it is used from the next day on."""
        np.add.at(self._shown, (scenario, item), 1)
        np.add.at(self._clicks, (scenario[clicked], item[clicked]), 1)
        np.add.at(self._affinity, (user[clicked], self.world.goods.category[item[clicked]]), 1)

    def _drawn(self, ladder: Floats, stream: str, index: Ints, scenario: Ints, count: int) -> Ints:
        step = scenario + self.world.draws.uniform(stream, index) * (1 - 1e-12)
        return np.searchsorted(ladder, step, side="right") - scenario * count


def _ladder(weight: Floats) -> Floats:
    """Row s of weights [S, N] as rising steps from s to s + 1, all rows one behind the other."""
    total = weight.cumsum(1)
    total /= total[:, -1:].copy()
    total += np.arange(len(weight))[:, None]
    return total.reshape(-1)


def _at_least_one(pool: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pool, with the first member added where it is empty."""
    pool[:, :1] |= ~pool.any(1, keepdims=True)
    return pool
