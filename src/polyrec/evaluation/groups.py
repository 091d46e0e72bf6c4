"""Rows ordered by scenario, with users numbered and dealt into clusters: done once, used by every cell."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from polyrec.batch import NO_USER
from polyrec.evaluation.collected import Collected
from polyrec.metrics import resample
from polyrec.metrics.ranked import BLOCK
from polyrec.schema import Target
from polyrec.shapes import Int

POOLED, MACRO = "*", "macro"
Rows = np.ndarray | slice  # row numbers, a mask, or all of them


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Row numbers of every scenario, the user and the cluster of every row."""

    order: Int[np.ndarray, "B"]  # rows by scenario, those of undeclared scenarios first
    starts: Int[np.ndarray, "S1"]  # of each scenario in `order`
    user: Int[np.ndarray, "B"] | None  # 0, 1, 2, ..., -1 of a row without one; None where users are not told apart
    cluster: Int[np.ndarray, "B"]
    clusters: int
    cluster_of: Int[np.ndarray, "U"]  # of each user

    @classmethod
    def of(cls, rows: Collected) -> "Groups":
        """Number the users, deal them into clusters, sort the rows by scenario."""
        order, starts = _by_scenario(rows.scenario, len(rows.scenarios))
        user, users = _numbered(rows.user)
        if users < 2 and user.min(initial=0) >= 0:  # one value that says nothing: each row stands for itself
            user[:], users = -1, 0
        cluster, count = resample.clusters(user)
        cluster_of = np.zeros(users, dtype=np.int32)
        for at in range(0, len(user), BLOCK):
            known = user[at : at + BLOCK] >= 0
            cluster_of[user[at : at + BLOCK][known]] = cluster[at : at + BLOCK][known]
        return cls(order, starts, user if users else None, cluster, count, cluster_of)

    def cells(self, rows: Collected, target: Target) -> Iterator[tuple[str, Rows]]:
        """Each scenario's rows inside the target's space, then (`*`) those of all scenarios."""
        inside = rows.inside[target]
        for place, name in enumerate(rows.scenarios):
            found = self.order[self.starts[place] : self.starts[place + 1]]
            yield name, found[inside[found]]
        yield POOLED, slice(None) if inside.all() else inside


def _by_scenario(scenario: Int[np.ndarray, "B"], scenarios: int) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "S1"]]:
    """Row numbers by scenario, those of undeclared ones first, and where each scenario begins."""
    small = np.int16 if scenarios < 2**15 else np.int32  # short integers are sorted by their digits
    kind = np.int32 if len(scenario) < 2**31 else np.int64
    order = np.argsort(scenario.astype(small, copy=False), kind="stable").astype(kind)
    sizes = np.bincount(scenario[scenario >= 0], minlength=scenarios)
    ends = len(scenario) - sizes.sum() + np.cumsum(sizes)
    return order, np.concatenate([ends - sizes, [len(scenario)]])


def _numbered(users: Int[np.ndarray, "B"]) -> tuple[Int[np.ndarray, "B"], int]:
    """Each row's user as its place among the sorted users, -1 where there is none; and how many users there are."""
    found, parts = np.full(len(users), -1, dtype=np.int32), []
    for at in range(0, len(users), BLOCK):
        block = users[at : at + BLOCK]
        known = block != NO_USER
        names, codes = np.unique(block[known], return_inverse=True)
        found[at : at + BLOCK][known] = codes
        parts.append(names)
    every = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
    for at, names in zip(range(0, len(users), BLOCK), parts, strict=True):
        block = found[at : at + BLOCK]
        known = block >= 0
        block[known] = np.searchsorted(every, names)[block[known]]
    return found, len(every)
