"""Rows ordered by scenario, with users numbered and dealt into clusters: done once, used by every cell."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from polyrec.batch import NO_USER
from polyrec.evaluation.collected import Collected
from polyrec.metrics import resample
from polyrec.schema import Target
from polyrec.shapes import Int

POOLED, MACRO = "*", "macro"


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
        order = np.argsort(rows.scenario, kind="stable")
        starts = np.searchsorted(rows.scenario[order], np.arange(len(rows.scenarios) + 1))
        known = rows.user != NO_USER
        names, codes = np.unique(rows.user[known], return_inverse=True)
        user = np.full(len(rows), -1, dtype=np.int32)
        if len(names) < 2 and known.all():  # one value that says nothing: each row stands for itself
            names = names[:0]
        else:
            user[known] = codes
        cluster, count = resample.clusters(user)
        cluster_of = np.zeros(len(names), dtype=np.int32)
        cluster_of[user[user >= 0]] = cluster[user >= 0]
        return cls(order, starts, user if len(names) else None, cluster, count, cluster_of)

    def cells(self, rows: Collected, target: Target) -> Iterator[tuple[str, Int[np.ndarray, "K"]]]:
        """Each scenario's rows inside the target's space, then (`*`) those of all scenarios."""
        inside = rows.inside[target]
        for place, name in enumerate(rows.scenarios):
            found = self.order[self.starts[place] : self.starts[place + 1]]
            yield name, found[inside[found]]
        yield POOLED, np.flatnonzero(inside)
