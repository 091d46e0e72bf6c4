"""Rows by user, where some are of nobody known."""

import numpy as np

from polyrec.batch import NO_USER
from polyrec.shapes import Int


def people(users: Int[np.ndarray, "B"]) -> Int[np.ndarray, "B"]:
    """Rows of one user have one number, from 0 on; each row of nobody has its own.

    Example:
        >>> people(np.array([7, 5, 7, NO_USER, NO_USER])).tolist()
        [3, 2, 3, 0, 1]
    """
    nobody = users == NO_USER
    found = np.empty(len(users), np.int64)
    found[nobody] = np.arange(nobody.sum())
    _, place = np.unique(users[~nobody], return_inverse=True)
    found[~nobody] = place.ravel() + nobody.sum()
    return found
