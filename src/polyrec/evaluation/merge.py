"""Rows that several processes have scored, as one."""

import numpy as np
import torch

from polyrec.batch import Layout
from polyrec.distributed import World
from polyrec.evaluation.collected import Collected


def merge(found: Collected | None, layout: Layout, world: World) -> Collected | None:
    """All processes' rows at the first process, in the order of the processes; None at the others.

    Nothing is rounded and nothing estimated: what is computed from them is, bit by bit, what one process computes.
    A row takes 12 bytes and 6 more for each target on its way.

    Args:
        found: what this process scored; None where it scored nothing.
        layout: names the targets and scenarios.
        world: the processes.
    """
    if world.alone:
        return found
    size = 12 + 6 * len(layout.targets)
    packed = np.empty((0, size), np.uint8) if found is None else _packed(found)
    parts = world.collect(torch.from_numpy(packed))
    if parts is None:
        return None
    return _unpacked(torch.cat(parts).numpy(), layout)


def _packed(found: Collected) -> np.ndarray:
    columns: list[np.ndarray] = [found.scenario.astype(np.int32), found.user.astype(np.int64)]
    for target in found.targets:
        columns += [found.logits[target].astype(np.float32), found.labels[target], found.inside[target]]
    rows = [np.ascontiguousarray(one).view(np.uint8).reshape(len(found), one.dtype.itemsize) for one in columns]
    return np.concatenate(rows, 1)


def _unpacked(packed: np.ndarray, layout: Layout) -> Collected:
    at = 0

    def column(kind: type) -> np.ndarray:
        nonlocal at
        width = np.dtype(kind).itemsize
        part: np.ndarray = np.ascontiguousarray(packed[:, at : at + width]).view(kind)[:, 0]
        at += width
        return part

    scenario, user = column(np.int32), column(np.int64)
    by_target = {target: (column(np.float32), column(np.bool_), column(np.bool_)) for target in layout.targets}
    return Collected(
        targets=layout.targets,
        scenarios=layout.scenarios,
        scenario=scenario,
        user=user,
        logits={target: one[0] for target, one in by_target.items()},
        labels={target: one[1] for target, one in by_target.items()},
        inside={target: one[2] for target, one in by_target.items()},
    )
