"""GAUC: how well rows are ranked within each user."""

from dataclasses import dataclass

import numpy as np

from polyrec.metrics.binary import tied_pairs
from polyrec.metrics.estimate import Estimate
from polyrec.metrics.ranked import BLOCK, check, check_codes, packed
from polyrec.shapes import Bool, Float, Int


@dataclass(frozen=True, slots=True, eq=False)
class ByUser:
    """AUC of every user that has rows of both classes, and what was left out."""

    users: Int[np.ndarray, "K"]  # codes, rising
    aucs: Float[np.ndarray, "K"]
    rows: Int[np.ndarray, "K"]
    skipped_users: int
    skipped_rows: int

    @property
    def estimate(self) -> Estimate:
        """The mean of the users' AUCs, weighted by their rows."""
        total = int(self.rows.sum())
        note = self.note
        if not total:
            return Estimate.undefined(note or "no rows")
        return Estimate.of(float(self.aucs @ self.rows) / total, note=note)

    @property
    def note(self) -> str:
        """Who was skipped, in words; empty where nobody was."""
        if not self.skipped_users:
            return ""
        users, rows = self.skipped_users, self.skipped_rows
        of_users, of_rows = users + len(self.users), rows + int(self.rows.sum())
        return f"skipped {users:,} of {of_users:,} users ({rows:,} of {of_rows:,} rows): their labels are all equal"


def by_user(scores: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"], users: Int[np.ndarray, "B"]) -> ByUser:
    """AUC of each user, by one sort of (user, score, label) packed into 64 bits.

    Raises:
        DataError: NaN among the scores, unequal lengths, user codes outside [0, 2**31).
    """
    check(scores, labels)
    check_codes("users", users, len(scores))
    if not len(scores):
        none = np.zeros(0, dtype=np.int64)
        return ByUser(none, none.astype(np.float64), none, 0, 0)
    key = np.empty(len(scores), dtype=np.uint64)
    for at in range(0, len(key), BLOCK):
        part = slice(at, at + BLOCK)
        key[part] = users[part].astype(np.uint64) << np.uint64(33) | packed(scores[part], labels[part])
    key.sort()
    user, rows, positives, won = _of_users(key)
    negatives = rows - positives
    both = (positives > 0) & (negatives > 0)
    return ByUser(
        users=user[both],
        aucs=won[both] / (positives * negatives)[both],
        rows=rows[both],
        skipped_users=int(np.count_nonzero(~both)),
        skipped_rows=int(rows[~both].sum()),
    )


def _of_users(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each user's code, rows, positives and pairs won, from sorted keys, a block at a time."""
    found: list[tuple[np.ndarray, ...]] = []
    first = 0
    while first < len(key):
        last = min(first + BLOCK, len(key))
        if last < len(key):  # equal scores of a user stay together
            last = int(np.searchsorted(key, key[last - 1] | np.uint64(1), side="right"))
        found.append(_block(key[first:last]))
        first = last
    user, rows, positives, won = (np.concatenate(column) for column in zip(*found, strict=True))
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    below = np.cumsum(rows - positives) - (rows - positives)  # negatives of the parts before, of all users
    below -= np.repeat(below[starts], np.diff(starts, append=len(user)))  # of this user
    won += positives * below
    rows, positives, won = (np.add.reduceat(one, starts) for one in (rows, positives, won))
    return user[starts], rows, positives, won


def _block(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same of some rows: a user's pairs within them."""
    user = (key >> np.uint64(33)).astype(np.int32)
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    positive = (key & np.uint64(1)).astype(bool)
    rows = np.diff(starts, append=len(key))
    positives = np.add.reduceat(positive, starts, dtype=np.int64)
    below = np.cumsum(~positive, dtype=np.int64)  # negatives up to each row, of all users
    before = below[starts] - ~positive[starts]
    won = np.add.reduceat(np.where(positive, below, 0), starts) - positives * before
    last, pairs = tied_pairs(key)
    place = np.searchsorted(starts, last, side="right") - 1
    return user[starts], rows, positives, won - np.bincount(place, weights=pairs, minlength=len(starts)) / 2


def gauc(scores: Float[np.ndarray, "B"], labels: Bool[np.ndarray, "B"], users: Int[np.ndarray, "B"]) -> Estimate:
    """AUC within each user, averaged with the users' impressions as weights (Zhu et al., KDD 2017).

    GAUC = sum of rows(u) x AUC(u) / sum of rows(u), over users with both classes. A user whose labels are all
    equal ranks nothing: skipped, and counted in the note.

    Raises:
        DataError: as `by_user`.

    Example:
        >>> found = gauc(np.array([0.2, 0.9, 0.5, 0.1]), np.array([False, True, True, True]), np.array([0, 0, 0, 1]))
        >>> found.value, found.note
        (1.0, 'skipped 1 of 2 users (1 of 4 rows): their labels are all equal')
    """
    return by_user(scores, labels, users).estimate
