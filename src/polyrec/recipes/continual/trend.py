"""What a feature would look like by now if it went on moving as it has: a trend, which is no fault."""

from collections.abc import Sequence

import numpy as np

from polyrec.data.profile import Profile
from polyrec.data.tally import EDGES
from polyrec.shapes import Float

GRID = 2_000  # quantiles that are moved
PACES = (0.5, 1.0)  # of the way that the pace would take
FORETOLD = 0.5  # of what changed from period to period is left when it is foretold, at most
TRIED = 2  # periods, at least, on which that is seen
Counts = Sequence[float] | np.ndarray


def stability(new: Counts, old: Counts) -> np.ndarray:
    """What each bin adds to the population stability index.

    Formula:
        sum_b (p_b - q_b) log(p_b / q_b), p and q shares of the new and the old rows, half a row added to each bin

    Example:
        >>> float(stability([10, 10], [10, 10]).sum()), round(float(stability([90, 10], [10, 90]).sum()), 2)
        (0.0, 3.41)
    """
    p, q = (np.asarray(one, float) + 0.5 for one in (new, old))
    p, q = p / p.sum(), q / q.sum()
    return np.asarray((p - q) * np.log(p / q))


def moment(profile: Profile) -> float | None:
    """The middle of the usual time of a period; None where it is not told in numbers."""
    if profile.usual is None or isinstance(profile.usual[0], str):
        return None
    return float(profile.usual[0] + profile.usual[1]) / 2


def in_order(profiles: Sequence[Profile]) -> list[Profile]:
    """Those that lie later than each before them; the rest tell no pace.

    Example:
        >>> of = lambda first, last: Profile(1, {}, {}, {}, "", (), usual=(first, last))
        >>> [one.usual for one in in_order([of(0, 2), of(2, 4), of(0, 6), of(4, 6)])]
        [(0, 2), (2, 4), (4, 6)]
    """
    found: list[Profile] = []
    for one in profiles:
        now, last = moment(one), moment(found[-1]) if found else None
        if now is not None and (last is None or now > last):
            found.append(one)
    return found


def ahead(past: Sequence[Profile], name: str, profile: Profile) -> list[np.ndarray]:
    """A feature's bins at the moment of `profile`, half and all of the way on at the pace of the last two before it.

    Nothing where its bins have no order, and unless the pace has foretold the periods before: over those, the stability
    index against what the two before each foretold is at most half of that against the one before. A jump in the past
    foretells nothing. No further ahead than twice the longest step that was tried.

    Args:
        past: periods in the order of their time (see `in_order`).
        name: of a number, or of a length.
        profile: the new period.
    """
    known = [one for one in past if sum(one.fields.get(name, ()))]
    now = moment(profile)
    if name in profile.unknown or now is None or len(known) < TRIED + 2:
        return []
    bins = [np.asarray(one.fields[name], float) for one in known]
    at = [float(moment(one) or 0.0) for one in known]
    if now <= at[-1]:
        return []
    triples = range(2, len(known))
    paces = [(at[place] - at[place - 1]) / (at[place - 1] - at[place - 2]) for place in triples]
    foretold = [moved(bins[place - 2], bins[place - 1], pace) for place, pace in zip(triples, paces, strict=True)]
    off = sum(float(stability(bins[place], one).sum()) for place, one in zip(triples, foretold, strict=True))
    changed = sum(float(stability(bins[place], bins[place - 1]).sum()) for place in triples)
    if off > FORETOLD * changed:
        return []
    longest = 2 * max(at[place] - at[place - 1] for place in triples)
    pace = min(now - at[-1], longest) / (at[-1] - at[-2])
    return [moved(bins[-2], bins[-1], share * pace) for share in PACES]


def moved(before: Float[np.ndarray, "K"], last: Float[np.ndarray, "K"], pace: float) -> Float[np.ndarray, "K"]:
    """Bins of `last` when each quantile goes on by `pace` times the way that it came from `before`.

    Formula:
        Q(u) = Q_last(u) + pace (Q_last(u) - Q_before(u)), Q(u) the value below which a share u lies, even within a bin:
        as exact as bins are narrow beside what moves

    Example:
        >>> moved(np.array([8.0, 0, 0, 0]), np.array([0, 8.0, 0, 0]), 1.0).round(2).tolist()
        [0.0, 2.67, 5.33, 0.0]
    """
    levels, edges = (np.arange(GRID) + 0.5) / GRID, _edges(len(last))
    was, now = (np.interp(_reached(one, levels), np.arange(len(edges)), edges) for one in (before, last))
    places = np.searchsorted(edges, now + pace * (now - was), "right") - 1
    counted = np.bincount(np.clip(places, 0, len(last) - 1), minlength=len(last))
    return np.asarray(counted * (last.sum() / GRID))


def _edges(bins: int) -> Float[np.ndarray, "E"]:
    """Where bins begin and end: of numbers, or of lengths by the rounded logarithm of one more (see `data.tally`)."""
    if bins == len(EDGES) + 1:
        return np.concatenate([EDGES[:1] * 10, EDGES, EDGES[-1:] * 10])
    return np.asarray(2.0 ** (np.arange(bins + 1) - 0.5) - 1)


def _reached(counts: Float[np.ndarray, "K"], levels: Float[np.ndarray, "U"]) -> Float[np.ndarray, "U"]:
    """How far into the bins each share of the rows ends, counted in bins."""
    reached = np.concatenate([[0.0], counts.cumsum()]) / counts.sum()
    place = np.searchsorted(reached, levels, "right") - 1  # the bin that holds it: never an empty one
    return np.asarray(place + (levels - reached[place]) / (reached[place + 1] - reached[place]))
