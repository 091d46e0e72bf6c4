"""Domain adaptation: how much more a row looks like the target's than like the others'."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from polyrec.errors import DataError
from polyrec.metrics.binary import auc as ranked_auc
from polyrec.shapes import Float, Int, Tensor
from polyrec.transfer.people import people

MOST = 32  # directions of the representation that the classifier reads
PENALTY = 1.0  # L2 of the classifier, on the sum of its losses
STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """Weights of the candidate rows, and what they were judged by."""

    weights: Float[Tensor, "C"]
    auc: float  # of the classifier, on rows that it did not learn from: .5 where nothing tells them apart
    effective: float  # rows that weigh as much when all weigh alike: (sum w)^2 / sum w^2
    clipped: float  # share of the rows at the bound


def adapt(
    target: Float[Tensor, "T H"],
    candidates: Float[Tensor, "C H"],
    target_groups: Int[np.ndarray, "T"],
    candidate_groups: Int[np.ndarray, "C"],
    *,
    clip: float = 5.0,
    folds: int = 5,
) -> Adapted:
    """Density ratios of candidate rows by a classifier that never judges a row which it learned from.

    Formula:
        q(x) = sigmoid(v . z(x) + c), fitted on target (1) against candidates (0), each side weighing the same;
        z = the first 32 principal directions of the representation, each to unit variance;
        w(x) = min(q / (1 - q), clip)
        With equal sides q / (1 - q) estimates p_target(x) / p_candidate(x): its mean over candidates is about 1.

    A plain classifier on a representation that stands still. One that is trained through a reversed gradient ends
    at one half everywhere and can select nothing.

    Args:
        target: representation of the target's rows.
        candidates: of the others.
        target_groups: users; rows of one are in one fold, rows of nobody (`NO_USER`) each for itself.
        candidate_groups: likewise.
        clip: upper bound of a weight.
        folds: of the cross-fitting.

    Source: Hou et al. 2024 (ECAT), fine-grained selection; the formula is this project's reconstruction.

    Raises:
        DataError: no target row or no candidate.

    Example:
        >>> random = torch.Generator().manual_seed(0)
        >>> target, same = torch.randn(400, 3, generator=random) + 1, torch.randn(400, 3, generator=random) + 1
        >>> far = torch.randn(400, 3, generator=random) - 1
        >>> rows = np.arange(400)
        >>> found = adapt(target, torch.cat([same, far]), rows, np.arange(400, 1200))
        >>> bool(found.weights[:400].mean() > 5 * found.weights[400:].mean()), found.auc > 0.6
        (True, True)
    """
    if not len(target) or not len(candidates):
        raise DataError(f"{len(target)} target rows, {len(candidates)} candidates: a classifier needs both.")
    rows = _directions(torch.cat([target, candidates]).double())
    label = torch.cat([torch.ones(len(target)), torch.zeros(len(candidates))]).double()
    groups = np.concatenate([target_groups, candidate_groups])
    fold = torch.from_numpy(_folds(groups, folds))
    logit = torch.zeros(len(rows), dtype=torch.float64)
    for place in range(folds):
        mine = fold == place
        if mine.any():
            logit[mine] = _fitted(rows[~mine], label[~mine], rows[mine])
    ratio = torch.exp(logit[len(target) :])
    weights = ratio.clamp(max=clip)
    total = float(weights.sum())
    return Adapted(
        weights.float(),
        float(ranked_auc(logit.numpy(), label.numpy() > 0.5).value or 0.5),
        total**2 / max(float((weights**2).sum()), 1e-12),
        float((ratio >= clip).double().mean()),
    )


def _directions(rows: Tensor) -> Tensor:
    """The representation's first principal directions, to unit variance; directions without spread are left out."""
    centred = rows - rows.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))  # rising
    real = values > 1e-8 * values[-1].clamp(min=1e-12)
    chosen = torch.nonzero(real)[:, 0][-MOST:]
    scaled: Tensor = vectors[:, chosen] / values[chosen].sqrt()
    return torch.matmul(centred, scaled)


def _folds(groups: np.ndarray, folds: int) -> np.ndarray:
    """A fold for each row, by group, in turn over the groups in a drawn order."""
    place = people(groups)
    order = np.random.default_rng(0).permutation(int(place.max()) + 1)
    return np.asarray(order[place] % folds)


def _fitted(rows: Tensor, label: Tensor, asked: Tensor) -> Tensor:
    """Logits of a logistic regression with a penalty, by Newton's method; both sides weigh the same."""
    ones, zeros = float(label.sum()), float((1 - label).sum())
    if not ones or not zeros:
        return asked.new_zeros(len(asked))
    weight = torch.where(label > 0.5, 0.5 / ones, 0.5 / zeros) * min(ones, zeros) * 2
    x = functional.pad(rows, (0, 1), value=1.0)
    penalty = torch.full((x.shape[1],), PENALTY, dtype=x.dtype)
    penalty[-1] = 1e-6
    found = x.new_zeros(x.shape[1])
    for _ in range(STEPS):
        p = torch.sigmoid(x @ found)
        slope = x.T @ (weight * (p - label)) + penalty * found
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + torch.diag(penalty)
        step = torch.linalg.solve(curve, slope)
        found = found - step
        if float(step.abs().max()) < 1e-9:
            break
    return torch.mv(functional.pad(asked, (0, 1), value=1.0), found)
