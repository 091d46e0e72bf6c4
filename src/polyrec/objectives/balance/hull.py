"""The point nearest to 0 in the convex hull of a few vectors, from their inner products."""

import numpy as np

from polyrec.objectives.balance.combined import Numbers

TOLERANCE = 1e-10  # of w . z, against vectors whose mean square length is 1
STEPS = 60  # at most; some 15 are usual


def nearest(inner: Numbers) -> Numbers:
    """Shares `w >= 0` that sum to 1 and make `|sum_i w_i g_i|^2 = w^T inner w` least.

    By a primal-dual interior-point method: z are the multipliers of `w >= 0`, and w_i z_i goes to 0 for every i.

    Args:
        inner: inner products of the vectors, [T, T]; not all of them 0.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.0, 2.0]])
        >>> nearest(vectors @ vectors.T).round(4).tolist()
        [0.8, 0.2]
    """
    count = len(inner)
    inner = inner * (count / np.trace(inner))
    w, z, one = np.full(count, 1.0 / count), np.ones(count), np.ones(count)
    for _ in range(STEPS):
        aim = 0.1 * (w @ z) / count
        bent = inner + np.diag(z / w + 1e-12)
        free, fixed = np.linalg.solve(bent, np.stack([aim / w - inner @ w, one], 1)).T
        dw = free - free.sum() / fixed.sum() * fixed  # the sum of w stays 1
        dz = aim / w - z - z / w * dw
        step = min(1.0, _room(w, dw), _room(z, dz))
        w, z = w + step * dw, z + step * dz
        if w @ z < TOLERANCE:
            break
    return np.asarray(w / w.sum())


def _room(x: Numbers, change: Numbers) -> float:
    """How much of a change keeps x above 0, with some left."""
    down = change < 0
    return 0.95 * float((x[down] / -change[down]).min()) if down.any() else 1.0
