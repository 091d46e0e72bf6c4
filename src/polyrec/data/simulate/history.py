"""What each user clicked last, kept in a ring a user: constant memory, and exact at every row."""

import numpy as np
from numpy.typing import NDArray

from polyrec.data.simulate.draws import Ints

LENGTH = 20


class History:
    """The last `LENGTH` recorded clicks of every user, read strictly before each row.

    Example:
        >>> history = History(users=2)
        >>> values, offsets = history.pass_by(
        ...     np.array([0, 1, 0, 0]), np.array([7, 8, 9, 5]), np.array([True, True, False, True]))
        >>> [values[a:b].tolist() for a, b in zip(offsets, offsets[1:])]
        [[], [], [7], [7]]
    """

    def __init__(self, users: int) -> None:
        self.ring = np.zeros((users, LENGTH), np.int32)
        self.count = np.zeros(users, np.int64)

    def pass_by(self, user: Ints, item: Ints, clicked: NDArray[np.bool_]) -> tuple[NDArray[np.int32], Ints]:
        """Values and offsets of the rows' sequences, oldest click first; then the rows' own clicks are added.

        Args:
            user: [B], in the order of time.
            item: [B].
            clicked: [B], clicks that were recorded.
        """
        order = np.argsort(user, kind="stable")
        sorted_user, sorted_click = user[order], clicked[order]
        before: Ints = np.cumsum(sorted_click) - sorted_click  # clicks before the row, of all users in this order
        first = np.searchsorted(sorted_user, sorted_user, side="left")  # where the row's user begins
        start = np.empty(len(user), np.int64)
        rank = np.empty(len(user), np.int64)
        start[order] = before[first] if len(user) else before
        rank[order] = before - before[first] if len(user) else before
        fresh = item[order][sorted_click].astype(np.int32)  # this block's clicks, user by user
        values, offsets = self._read(user, start, rank, fresh)
        self._write(user[clicked], item[clicked], rank[clicked])
        return values, offsets

    def _read(self, user: Ints, start: Ints, rank: Ints, fresh: NDArray[np.int32]) -> tuple[NDArray[np.int32], Ints]:
        known = self.count[user]
        length = np.minimum(known + rank, LENGTH)
        offsets = np.zeros(len(user) + 1, np.int64)
        np.cumsum(length, out=offsets[1:])
        # The click's number among all of the user's, for every value of every row.
        number = np.repeat(known + rank - length - offsets[:-1], length)
        number += np.arange(offsets[-1])
        old = number % LENGTH
        old += np.repeat(user * LENGTH, length)
        values = self.ring.reshape(-1)[old]
        number += np.repeat(start - known, length)  # now its place in `fresh`, where it is new
        new = number >= np.repeat(start, length)
        values[new] = fresh[number[new]]
        return values, offsets

    def _write(self, user: Ints, item: Ints, rank: Ints) -> None:
        place = (self.count[user] + rank) % LENGTH
        self.ring[user, place] = item  # in the order of time: the last one stays
        np.add.at(self.count, user, 1)
