"""Bootstrap over clusters (users): Poisson weights, and the sums that they give, by one matrix product."""

from dataclasses import dataclass

import numpy as np

from polyrec.errors import DataError
from polyrec.metrics.interval import LEVEL
from polyrec.metrics.ranked import BLOCK
from polyrec.shapes import Float, Int

REPLICATES = 400
LIMIT = 8192  # clusters that are told apart


def clusters(users: Int[np.ndarray, "B"], limit: int = LIMIT) -> tuple[Int[np.ndarray, "B"], int]:
    """A cluster for each row, such that rows of one user share one, and how many clusters there are.

    Up to `limit` users, each is a cluster of its own; more are dealt at random (by a hash) into `limit` clusters.
    Sums of independent users are independent still, so nothing is lost but degrees of freedom, of which 8,192 are
    plenty (the standard error is then known to 0.8 %), and the cost no longer grows with users.

    Args:
        users: a code for each row, 0, 1, 2, ...; -1 where the user is not known: such rows depend on no other.
        limit: the most clusters.

    Example:
        >>> clusters(np.array([0, 1, 0, -1]))
        (array([0, 1, 0, 2], dtype=int16), 3)
    """
    named, count = int(users.max(initial=-1)) + 1, int(users.max(initial=-1)) + 1
    found = np.empty(len(users), dtype=np.int16 if limit < 2**15 else np.int32)
    dealt = named + int(np.count_nonzero(users < 0)) > limit
    for at in range(0, len(users), BLOCK):
        codes = users[at : at + BLOCK].astype(np.int64)
        alone = np.flatnonzero(codes < 0)
        codes[alone] = count + np.arange(len(alone))
        count += len(alone)
        found[at : at + BLOCK] = _mixed(codes) % np.uint64(limit) if dealt else codes
    return found, limit if dealt else count


def _mixed(codes: Int[np.ndarray, "B"]) -> Int[np.ndarray, "B"]:
    """SplitMix64 (Steele et al. 2014): neighbouring integers to unrelated ones."""
    mixed: np.ndarray = codes.astype(np.uint64)
    mixed += np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


@dataclass(frozen=True, slots=True, eq=False)
class Resample:
    """How often each cluster is drawn in each replicate. One `Resample` serves all cells of a report, so that
    cells which share users move together, as they do in truth.
    """

    weights: Float[np.ndarray, "C K"]

    @classmethod
    def poisson(cls, clusters: int, replicates: int = REPLICATES, seed: int = 0) -> "Resample":
        """Independent Poisson(1) counts, which stand in for multinomial ones (Chamandy et al. 2012).

        Raises:
            DataError: fewer than 2 replicates.
        """
        if replicates < 2:
            raise DataError(f"replicates = {replicates}: a bootstrap needs at least 2; {REPLICATES} are usual.")
        draws = np.random.default_rng(seed).integers(0, 65536, size=(clusters, replicates), dtype=np.uint16)
        return cls(_POISSON[draws])

    @property
    def clusters(self) -> int:
        """How many there are."""
        return len(self.weights)

    def sums(self, totals: Float[np.ndarray, "C S"]) -> Float[np.ndarray, "K S"]:
        """Column totals of every replicate, from column totals of every cluster."""
        active = np.flatnonzero(totals.any(axis=1))
        few = 2 * len(active) < len(totals)
        weights, some = (self.weights[active], totals[active]) if few else (self.weights, totals)
        found: np.ndarray = some.astype(np.float32).T @ weights  # [S, K]
        return found.T.astype(np.float64)


def _poisson_table() -> Float[np.ndarray, "N"]:
    """The Poisson(1) count of each of 65,536 equally likely draws."""
    chances = np.exp(-1.0) / np.cumprod(np.concatenate([[1.0], np.arange(1.0, 12.0)]))
    upto = np.round(np.cumsum(chances) * 65536)
    return np.searchsorted(upto, np.arange(65536), side="right").astype(np.float32)


_POISSON = _poisson_table()


def percentiles(replicates: Float[np.ndarray, "K"], level: float = LEVEL) -> tuple[float, float] | None:
    """The middle `level` of the replicates; None where fewer than nine in ten are defined."""
    finite = replicates[np.isfinite(replicates)]
    if len(finite) < 0.9 * len(replicates):
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
