"""Users, items and scenarios: what is true of them, and what a log shows of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyrec.data.simulate.draws import Draws, Floats, Ints
from polyrec.data.simulate.presets import HEADS, Preset
from polyrec.data.simulate.taste import FACTORS, Taste, compose
from polyrec.data.simulate.truth import probabilities
from polyrec.errors import ConfigError

POSITIONS = 8
DEVICES = ("phone", "tablet", "desktop")
SEGMENTS, CATEGORIES, BRANDS, AGES = 12, 16, 80, 6
SHOWN = 5  # factors that features show noisily; the last one shows in ids alone


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Users: latent factors [U, 6], how active, when they arrive, and what features show."""

    factors: Floats
    activity: Floats
    arrival: Ints
    segment: Ints
    age: Ints  # -1: null
    taste: Floats  # [U, 3]
    days_active: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Goods:
    """Items: latent factors [I, 6], how prominent, when they arrive, and what features show."""

    factors: Floats
    prominence: Floats
    arrival: Ints
    category: Ints
    brand: Ints
    price: Floats
    quality: Floats  # NaN: null


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Impressions before anybody answers them, as columns of equal length."""

    index: Ints  # place in the log
    day: int
    time: Ints  # milliseconds
    scenario: Ints
    user: Ints
    item: Ints
    position: Ints
    device: Ints
    intent: Floats  # the seen part of the momentary noise

    @property
    def hour(self) -> Ints:
        """0 to 23."""
        return self.time // 3_600_000 % 24


class World:
    """Everything that is fixed before the first impression; the same for any number of rows.

    Raises:
        ConfigError: fewer than one scenario, more than the world has items for, or fewer than one day.

    Example:
        >>> from polyrec.data.simulate.presets import named
        >>> world = World(named("starved"), scenarios=6, days=14, seed=0)
        >>> [round(float(share), 4) for share in world.sizes][0::5], world.people.factors.shape
        ([0.6898, 0.002], (5000, 6))
    """

    def __init__(self, preset: Preset, *, scenarios: int, days: int, seed: int) -> None:
        least = max(1, len(preset.contrary) + 1)
        if not least <= scenarios <= 1000:
            raise ConfigError(
                f"scenarios = {scenarios}: this preset takes {least} to 1000. Choose a number in between."
            )
        if not 1 <= days <= 3650:
            raise ConfigError(f"days = {days}: from 1 to 3650. Choose a number in between.")
        self.preset, self.days, self.seed = preset, days, seed
        self.draws = Draws(seed)
        self.names = tuple(f"s{place}" for place in range(scenarios))
        self.sizes = sizes(scenarios, smallest=preset.smallest, largest=preset.largest)
        self.people = _people(preset, days, self.draws)
        self.goods = _goods(preset, days, self.draws)
        self.taste: Taste = compose(preset, scenarios, self.draws)
        self.members = _pools(self.sizes, preset.users, 0.5, "members", self.draws)
        self.offer = _pools(self.sizes, preset.items, 0.35, "offer", self.draws)
        self.base = self._base()
        self.position_effect = -1.2 * np.arange(POSITIONS) / (POSITIONS - 1)
        self.device_effect = 0.25 * self.draws.table("device", len(DEVICES), len(HEADS))
        self.peak_hour = 24 * self.draws.uniform("peak", np.arange(scenarios))
        if preset.flows:  # nothing by scenario or task but what is planted
            self.device_effect[:] = self.device_effect[:, :1]
            self.peak_hour[:] = self.peak_hour[0]

    def _base(self) -> Floats:
        """Intercepts [S, 4] at which an average row has about the preset's rates, a little apart by scenario."""
        rate = np.array(self.preset.rates.values)
        variance = np.array(self.preset.signal.values) ** 2 + np.array(self.preset.noise.values) ** 2
        with np.errstate(divide="ignore"):
            logit = np.log(rate / (1 - rate)) * np.sqrt(1 + np.pi * variance / 8)
        spread = 0.0 if self.preset.flows else 0.2
        shift = spread * self.draws.table("base", len(self.names), len(HEADS))
        return np.where(np.isfinite(logit), logit + shift, -np.inf)

    def weights(self, day: int) -> Floats:
        """Preferences [S, 4, WIDTH] on a day."""
        return self.taste.weights(day / max(self.days - 1, 1))

    def logits(self, rows: Rows) -> list[Floats]:
        """Logits [B] of click, action, buy and direct buy, all but the unseen noise.

        `z_h = base_sh + w_sh . (u * v, v, u) + device_h [+ position + hour, click only] + seen noise_h * intent`;
        u and v the latent factors of user and item. Summed factor by factor, so that a row's value does not
        depend on its block.
        """
        users, items = self.people.factors, self.goods.factors
        weights = self.weights(rows.day).transpose(2, 1, 0)  # [WIDTH, 4, S]
        logits = [self.base[:, head][rows.scenario] for head in range(len(HEADS))]
        wanted = [head for head in range(len(HEADS)) if not (head == 3 and self.preset.strict)]
        for factor in range(FACTORS):
            user, item = users[:, factor][rows.user], items[:, factor][rows.item]
            for head in wanted:
                pair, good, person = (weights[block * FACTORS + factor, head][rows.scenario] for block in range(3))
                pair *= user
                pair += good
                pair *= item
                person *= user
                pair += person
                logits[head] += pair
        loading = np.sqrt(self.preset.seen) * np.array(self.preset.noise.values)
        for head in wanted:
            logits[head] += self.device_effect[:, head][rows.device]
            logits[head] += loading[head] * rows.intent
        logits[0] += self.position_effect[rows.position]
        logits[0] += 0.25 * np.cos((rows.hour - self.peak_hour[rows.scenario]) * (2 * np.pi / 24))
        return logits

    def truth(self, rows: Rows) -> dict[str, Floats]:
        """True probabilities [B] of any rows, shown or not: `truth.COLUMNS` says of what.

        A row with another scenario put in answers what its user would have done there.
        """
        return probabilities(self.logits(rows), self.unseen, self.preset.action_lift, strict=self.preset.strict)

    @property
    def unseen(self) -> Floats:
        """What one unit of the unseen noise adds to each head's logit, [4]."""
        loading: Floats = np.sqrt(1 - self.preset.seen) * np.array(self.preset.noise.values)
        return loading


def sizes(scenarios: int, *, smallest: float | None = None, largest: float | None = None) -> Floats:
    """Shares of rows, falling by one ratio to the `smallest`; with `largest`, the first is set apart.

    Example:
        >>> sizes(4, smallest=0.1).round(3).tolist()
        [0.458, 0.276, 0.166, 0.1]
        >>> sizes(3, smallest=0.1, largest=0.5).tolist()
        [0.5, 0.4, 0.1]
    """
    if largest is not None and scenarios > 1:
        rest = sizes(scenarios - 1, smallest=None if smallest is None else smallest / (1 - largest))
        return np.concatenate([[largest], rest * (1 - largest)])
    last = 0.5 / scenarios if smallest is None else min(smallest, 1 / scenarios)
    low, high = 1e-9, 1.0
    steps = np.arange(scenarios)
    for _ in range(200):  # bisection on the ratio
        ratio = (low + high) / 2
        shares = ratio**steps
        if shares[-1] / shares.sum() < last:
            low = ratio
        else:
            high = ratio
    shares = ratio**steps
    return np.asarray(shares / shares.sum(), np.float64)


def _people(preset: Preset, days: int, draws: Draws) -> People:
    count = preset.users
    who = np.arange(count)
    factors = draws.table("user", count, FACTORS)
    prototypes = draws.table("segments", SEGMENTS, SHOWN)
    noisy = factors[:, :SHOWN] + 0.4 * draws.table("user/segment", count, SHOWN)
    age = np.clip(np.floor(3 + 1.2 * (factors[:, 3] + draws.normal("user/age", who))), 0, AGES - 1).astype(np.int64)
    activity = np.exp(0.8 * draws.normal("user/activity", who))
    return People(
        factors=factors,
        activity=activity,
        arrival=_arrival(count, preset.new_users, days, "user/arrival", draws),
        segment=_nearest(noisy, prototypes),
        age=np.where(draws.uniform("user/age/null", who) < 0.2, -1, age),
        taste=(factors[:, :3] + 0.6 * draws.table("user/taste", count, 3)).round(3),
        days_active=np.round(10 * activity * np.exp(0.5 * draws.normal("user/days", who))),
    )


def _goods(preset: Preset, days: int, draws: Draws) -> Goods:
    count = preset.items
    which = np.arange(count)
    factors = draws.table("item", count, FACTORS)
    near = factors[:, :SHOWN] + 0.4 * draws.table("item/category", count, SHOWN)
    brand = factors[:, :SHOWN] + 0.5 * draws.table("item/brand", count, SHOWN)
    quality = factors[:, 1] + 0.6 * draws.normal("item/quality", which)
    return Goods(
        factors=factors,
        prominence=np.exp(0.7 * draws.normal("item/prominence", which)),
        arrival=_arrival(count, preset.new_items, days, "item/arrival", draws),
        category=_nearest(near, draws.table("categories", CATEGORIES, SHOWN)),
        brand=_nearest(brand, draws.table("brands", BRANDS, SHOWN)),
        price=np.exp(2.5 + 0.5 * factors[:, 0] + 0.5 * draws.normal("item/price", which)).round(2),
        quality=np.where(draws.uniform("item/quality/null", which) < 0.1, np.nan, quality.round(3)),
    )


def _nearest(points: Floats, prototypes: Floats) -> Ints:
    """The prototype in whose direction a point lies farthest."""
    unit = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    nearest: Ints = (points @ unit.T).argmax(1)
    return nearest


def _arrival(count: int, share: float, days: int, stream: str, draws: Draws) -> Ints:
    """First day of each: 0 for most, later for the new."""
    late = draws.uniform(stream, np.arange(count)) < share
    day = 1 + np.floor(draws.uniform(stream + "/day", np.arange(count)) * (days - 1)).astype(np.int64)
    return np.where(late & (days > 1), day, 0)


def _pools(shares: Floats, count: int, power: float, stream: str, draws: Draws) -> NDArray[np.bool_]:
    """Which users (items) each scenario has, [S, count]: small scenarios have few, most of them common ones."""
    fraction = np.maximum(np.minimum(1.0, shares / shares.max()) ** power, 40 / count)
    chance = draws.uniform(stream, np.arange(len(shares) * count)).reshape(len(shares), count)
    pool: NDArray[np.bool_] = chance < 0.9 * fraction[:, None]
    pool[:, :1] |= ~pool.any(1, keepdims=True)
    return pool
