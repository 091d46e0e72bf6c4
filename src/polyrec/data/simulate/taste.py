"""What a scenario wants: weights on the latent factors, composed so that relations are known exactly."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyrec.data.simulate.draws import Draws, Floats
from polyrec.data.simulate.presets import HEADS, TASKS, Preset

Relation = Literal["helps", "indifferent", "conflicts"]
FACTORS = 6  # of users, and of items
WIDTH = 3 * FACTORS  # of what a logit is linear in: user x item, item, user
HELPS, CONFLICTS = 0.4, -0.2
FLOWS = ("shared,shared", "scenario,shared", "shared,task", "scenario,task")


@dataclass(frozen=True, slots=True)
class Taste:
    """Weights `now` and, at right angles, `later` that they turn towards, each [S, 4 heads, WIDTH]."""

    now: Floats
    later: Floats
    turn: float  # radians over all days
    useful: dict[str, Floats]  # flow -> [S, 3 tasks], share of variance

    def weights(self, progress: float) -> Floats:
        """Weights [S, 4, WIDTH] at a share of the days gone by: one rotation of all, so that relations stay."""
        angle = self.turn * progress
        turned: Floats = np.cos(angle) * self.now + np.sin(angle) * self.later
        return turned

    def likeness(self) -> Floats:
        """Correlation of two scenarios' preferences, [S, S, 3 tasks]: the cosine of their weights.

        Latent factors are independent with variance one, so the cosine of two weight vectors is the
        correlation of the two logits over pairs of a user and an item.
        """
        unit = self.now / np.linalg.norm(self.now, axis=-1, keepdims=True)
        alike: Floats = np.einsum("shw,thw->sth", unit, unit)[:, :, : len(TASKS)]
        return alike

    def relations(self) -> list[list[Relation]]:
        """Whether scenario s's rows help, conflict with or leave indifferent scenario t: [s][t]."""
        mean = self.likeness().mean(-1)
        return [[relation(float(value)) for value in row] for row in mean]


def relation(likeness: float) -> Relation:
    """A word for the correlation of two scenarios' preferences, averaged over tasks.

    Example:
        >>> relation(0.8), relation(0.1), relation(-0.5)
        ('helps', 'indifferent', 'conflicts')
    """
    return "helps" if likeness >= HELPS else "conflicts" if likeness <= CONFLICTS else "indifferent"


def compose(preset: Preset, scenarios: int, draws: Draws) -> Taste:
    """Compose every scenario's preferences from orthogonal shared, task, group, own and cell parts."""
    shares = _shares(preset, scenarios)
    useful = {
        "shared,shared": shares["shared"],
        "scenario,shared": shares["group"] + shares["own"],
        "shared,task": shares["task"],
        "scenario,task": shares["cell"],
    }
    useful = {flow: share[:, : len(TASKS)] for flow, share in useful.items()}
    now = _composed(preset, scenarios, shares, draws)
    return Taste(now, now @ _quarter_turn(draws), preset.turn, useful)


def _shares(preset: Preset, scenarios: int) -> dict[str, Floats]:
    """Share of variance by part, each [S, 4]; rows of a planted useless flow are zero, the rest grows to one."""
    names = ("shared", "task", "group", "own", "cell")
    shares = {name: np.full((scenarios, len(HEADS)), getattr(preset.parts, name)) for name in names}
    if preset.flows:
        place, head = np.arange(scenarios)[:, None], np.arange(len(HEADS))[None, :]
        shares["own"] = np.where(place % 3 == 2, 0.0, shares["own"])  # every third scenario is like any other
        shares["task"] = np.where(head == 1, 0.0, shares["task"])  # action follows what the tasks share
        shares["cell"] = np.where((place + head) % 2 == 1, 0.0, shares["cell"])
    total = sum(shares.values())
    return {name: share / total for name, share in shares.items()}


def _composed(preset: Preset, scenarios: int, shares: dict[str, Floats], draws: Draws) -> Floats:
    heads, groups = len(HEADS), preset.groups
    common = 1 + heads + groups
    basis = _frame("taste", draws)
    shared, tasks, group = basis[0], basis[1 : 1 + heads], basis[1 + heads : common]
    own = _apart(draws.table("taste/own", scenarios, WIDTH), basis[:common])
    room = min(scenarios, WIDTH - common)
    own[:room] = basis[common : common + room]
    taken = common + room if common + room <= WIDTH - 4 else common  # many scenarios: nearly apart
    cell = _apart(draws.table("taste/cell", scenarios, heads, WIDTH), basis[:taken])
    sign = np.where(np.isin(np.arange(scenarios), preset.contrary), -1.0, 1.0)[:, None, None]
    root = {part: np.sqrt(share)[:, :, None] for part, share in shares.items()}
    weights = sign * (root["shared"] * shared + root["task"] * tasks[None])
    weights = weights + root["group"] * group[np.arange(scenarios) % groups][:, None, :]
    weights = weights + root["own"] * own[:, None, :] + root["cell"] * cell
    composed: Floats = weights * np.array(preset.signal.values)[None, :, None]
    return composed


def _frame(stream: str, draws: Draws) -> Floats:
    """Random orthonormal rows, [WIDTH, WIDTH]."""
    rows = np.linalg.qr(draws.table(stream, WIDTH, WIDTH))[0].T
    frame: Floats = rows * np.sign(rows[:, :1])  # one sign, whatever the linear algebra library chose
    return frame


def _quarter_turn(draws: Draws) -> Floats:
    """A rotation J by a right angle in each of WIDTH / 2 random planes.

    `J' = -J` and `J'J = 1`, so `cos(t) w + sin(t) wJ` keeps every length and every angle between two weights.
    """
    frame = _frame("taste/turn", draws)
    one, other = frame[0::2], frame[1::2]
    turn: Floats = one.T @ other - other.T @ one
    return turn


def _apart(vectors: Floats, basis: Floats) -> Floats:
    """Unit vectors with no part along the basis."""
    rest = vectors - (vectors @ basis.T) @ basis
    unit: Floats = rest / np.linalg.norm(rest, axis=-1, keepdims=True)
    return unit
