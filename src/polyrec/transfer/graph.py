"""Graph-guided selection: which users and items are connected with a scenario through who interacted with what."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from polyrec.data.hashing import splitmix64
from polyrec.errors import ConfigError
from polyrec.shapes import Float, Int

Edges = tuple[Int[np.ndarray, "E"], Int[np.ndarray, "E"]]  # users and items of interactions


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """Items by falling score, those of the target first, and the users within two hops of the first K."""

    items: Int[np.ndarray, "I"]  # keys
    scores: Float[np.ndarray, "I"]
    own: int  # how many of them are the target's
    kept: int  # K: how many are kept
    users: Int[np.ndarray, "U"]  # keys, rising

    def holds(self, users: Int[np.ndarray, "B"], items: Int[np.ndarray, "B"]) -> np.ndarray:
        """Which rows have a kept item and a reached user, bool [B]."""
        return np.isin(items, self.items[: self.kept]) & np.isin(users, self.users)


def reach(
    edges: Iterable[Edges],
    target: Int[np.ndarray, "T"],
    keep: Callable[[Int[np.ndarray, "I"], int], int],
    *,
    parts: int = 1,
) -> Reached:
    """Items and users that interactions connect with the target's items.

    Formula:
        score(j) = sum over target items i, users u in N(i) and N(j) of |N(u)|^-1/2 (|N(i)| |N(j)|)^-1/2
        where N are neighbours in the bipartite graph of distinct (user, item) interactions.
        Kept: the target's items, then others by falling score. Reached: every user with an interaction with a kept
        item, which is within two hops (item, user, item, user) of the target.

    The sums are two products of the graph with a vector, so that a graph costs its edges and no pair of items is
    ever formed. Edges are split into `parts` by user, on disk where there are several: memory holds one part,
    and one number for each user reached and each item.

    Args:
        edges: blocks of interactions; a pair may come often and counts once.
        target: keys of the target's items, whether anybody interacted with them or not.
        keep: given the items by falling score and how many of them are the target's, how many to keep.
        parts: of the edges.

    Source: Hou et al. 2024 (ECAT), graph-guided selection; the formula is this project's reconstruction.

    Raises:
        ConfigError: `parts` below 1.

    Example:
        >>> users, items = np.array([1, 1, 2, 2, 3]), np.array([7, 8, 8, 9, 9])
        >>> found = reach([(users, items)], np.array([7]), lambda items, own: 2)
        >>> found.items.tolist(), found.kept, found.users.tolist()
        ([7, 8, 9], 2, [1, 2])
    """
    if parts < 1:
        raise ConfigError(f"parts = {parts}: a graph is read in at least 1 part.")
    target = np.unique(target)
    with _Parted(edges, parts) as parted:
        items, degree = _degrees(parted.read(), target)
        mine = np.isin(items, target)
        score = _scores(parted.read(), items, degree, mine)
        order = np.lexsort((items, -score, ~mine))
        own = int(mine.sum())
        kept = max(own, min(keep(items[order], own), len(items)))
        chosen = np.zeros(len(items), bool)
        chosen[order[:kept]] = True
        users = [np.zeros(0, np.int64), *(_users(pairs, items, chosen) for pairs in parted.read())]
    return Reached(items[order], score[order], own, kept, np.sort(np.concatenate(users)))


def tally(blocks: Iterable[Int[np.ndarray, "E"]]) -> tuple[Int[np.ndarray, "I"], Int[np.ndarray, "I"]]:
    """Every key of the blocks, rising, and how often it comes; memory holds the distinct keys.

    Example:
        >>> [one.tolist() for one in tally([np.array([7, 8, 7]), np.array([9, 7])])]
        [[7, 8, 9], [3, 1, 1]]
    """
    keys, total = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for block in blocks:
        found, counts = np.unique(block, return_counts=True)
        union = np.union1d(keys, found)
        grown = np.zeros(len(union), np.int64)
        grown[np.searchsorted(union, keys)] = total
        grown[np.searchsorted(union, found)] += counts
        keys, total = union, grown
    return keys, total


def _degrees(parts: Iterator[Edges], target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every item, rising, and how many users interacted with it."""
    items, degree = tally(chain([target], (pairs for _, pairs in parts)))
    degree[np.searchsorted(items, target)] -= 1
    return items, degree.astype(np.float64)


def _scores(parts: Iterator[Edges], items: np.ndarray, degree: np.ndarray, mine: np.ndarray) -> np.ndarray:
    scale = np.divide(1.0, np.sqrt(degree), out=np.zeros(len(items)), where=degree > 0)
    score = np.zeros(len(items))
    for users, pairs in parts:
        place = np.searchsorted(items, pairs)
        new = np.append(True, users[1:] != users[:-1])
        user = np.cumsum(new) - 1
        near = np.bincount(user, weights=scale[place] * mine[place]).astype(np.float64)  # sum over its target items
        near /= np.sqrt(np.bincount(user))
        score += np.bincount(place, weights=near[user], minlength=len(items))
    return np.asarray(score * scale)


def _users(pairs: Edges, items: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    users, touched = pairs
    return np.unique(users[chosen[np.searchsorted(items, touched)]])


class _Parted:
    """Distinct edges by part of the users, each part by user and item; in memory where there is one part."""

    def __init__(self, edges: Iterable[Edges], parts: int) -> None:
        self.edges, self.parts = edges, parts
        self.folder: TemporaryDirectory[str] | None = None
        self.whole: Edges | None = None

    def __enter__(self) -> "_Parted":
        if self.parts == 1:
            self.whole = _distinct(list(self.edges))
            return self
        self.folder = TemporaryDirectory(prefix="polyrec-graph-")
        self._spill()
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            self.folder.cleanup()

    def read(self) -> Iterator[Edges]:
        """Part after part; an empty one is left out."""
        if self.whole is not None:
            yield from ([self.whole] if len(self.whole[0]) else [])
            return
        for part in range(self.parts):
            raw = np.fromfile(self._path(part), np.int64).reshape(-1, 2)
            if len(raw):
                yield _distinct([(raw[:, 0], raw[:, 1])])

    def _path(self, part: int) -> Path:
        assert self.folder is not None
        return Path(self.folder.name) / str(part)

    def _spill(self) -> None:
        files = [self._path(part).open("wb") for part in range(self.parts)]
        try:
            for users, items in self.edges:
                where = splitmix64(users.astype(np.int64)) % np.uint64(self.parts)
                for part, file in enumerate(files):
                    mine = where == part
                    np.stack([users[mine], items[mine]], 1).astype(np.int64).tofile(file)
        finally:
            for file in files:
                file.close()


def _distinct(blocks: Sequence[Edges]) -> Edges:
    """Each pair once, by user and then item."""
    users = np.concatenate([block[0] for block in blocks] or [np.zeros(0, np.int64)])
    items = np.concatenate([block[1] for block in blocks] or [np.zeros(0, np.int64)])
    order = np.lexsort((items, users))
    users, items = users[order], items[order]
    new = np.ones(len(users), bool)
    new[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    return users[new], items[new]
