"""Graph-guided selection: which users and items are connected with a scenario through who interacted with what."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from polyrec import temporary
from polyrec.data.hashing import splitmix64
from polyrec.errors import ConfigError
from polyrec.shapes import Float, Int

Edges = tuple[Int[np.ndarray, "E"], Int[np.ndarray, "E"]]  # users and items of interactions


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """Items by falling score, those of the target first, and the best of them that each user interacted with.

    K, how many items are kept, is chosen afterwards, from how many rows each K lets pass (`need`).
    """

    items: Int[np.ndarray, "I"]  # keys
    scores: Float[np.ndarray, "I"]
    own: int  # how many of them are the target's
    users: Int[np.ndarray, "U"]  # keys, rising
    first: Int[np.ndarray, "U"]  # place among `items` of the first one that the user interacted with
    order: Int[np.ndarray, "I"]  # of the items by key

    def need(self, users: Int[np.ndarray, "B"], items: Int[np.ndarray, "B"]) -> Int[np.ndarray, "B"]:
        """The least K with which each row has a kept item and a reached user; I + 1 where none has.

        Example:
            >>> users, items = np.array([1, 1, 2, 2, 3]), np.array([7, 8, 8, 9, 9])
            >>> found = reach([(users, items)], np.array([7]))
            >>> found.need(np.array([1, 2, 3, 3, 5]), np.array([7, 7, 7, 8, 7])).tolist()
            [1, 2, 3, 3, 4]
        """
        never = len(self.items)
        item = _found(self.items[self.order], self.order, items, never)
        return np.asarray(np.maximum(item, _found(self.users, self.first, users, never)) + 1)

    def reached(self, kept: int) -> int:
        """How many users are within two hops of the first K items: they interacted with one of them."""
        return int((self.first < kept).sum())


def reach(edges: Iterable[Edges], target: Int[np.ndarray, "T"], *, parts: int = 1) -> Reached:
    """Items and users that interactions connect with the target's items.

    Formula:
        score(j) = sum over target items i, users u in N(i) and N(j) of |N(u)|^-1/2 (|N(i)| |N(j)|)^-1/2
        where N are neighbours in the bipartite graph of distinct (user, item) interactions.
        Kept: the target's items, then others by falling score. Reached: every user with an interaction with a kept
        item, which is within two hops (item, user, item, user) of the target.

    The sums are two products of the graph with a vector, so that a graph costs its edges and no pair of items is
    ever formed. Edges are split into `parts` by user, on disk where there are several: memory holds one part,
    and two numbers for each user and each item.

    Args:
        edges: blocks of interactions; a pair may come often and counts once.
        target: keys of the target's items, whether anybody interacted with them or not.
        parts: of the edges.

    Source: Hou et al. 2024 (ECAT), graph-guided selection; the formula is this project's reconstruction.

    Raises:
        ConfigError: `parts` below 1.

    Example:
        >>> users, items = np.array([1, 1, 2, 2, 3]), np.array([7, 8, 8, 9, 9])
        >>> found = reach([(users, items)], np.array([7]))
        >>> found.items.tolist(), found.own, found.users[found.first < 2].tolist()
        ([7, 8, 9], 1, [1, 2])
    """
    if parts < 1:
        raise ConfigError(f"parts = {parts}: a graph is read in at least 1 part.")
    target = np.unique(target)
    with _Parted(edges, parts) as parted:
        items, degree = _degrees(parted.read(), target)
        mine = np.isin(items, target)
        score = _scores(parted.read(), items, degree, mine)
        order = np.lexsort((items, -score, ~mine))
        place = np.argsort(order)
        found = [(np.zeros(0, np.int64), np.zeros(0, np.int64)), *(_first(one, items, place) for one in parted.read())]
    users, first = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rising = np.argsort(users)
    return Reached(items[order], score[order], int(mine.sum()), users[rising], first[rising], place)


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


def _first(pairs: Edges, items: np.ndarray, place: np.ndarray) -> Edges:
    """The users of a part, and the first place of an item that each interacted with."""
    users, touched = pairs
    new = np.flatnonzero(np.append(True, users[1:] != users[:-1]))
    return users[new], np.minimum.reduceat(place[np.searchsorted(items, touched)], new)


def _found(keys: np.ndarray, values: np.ndarray, asked: np.ndarray, missing: int) -> np.ndarray:
    """The value of each key that was asked for, by rising keys."""
    if not len(keys):
        return np.full(len(asked), missing)
    at = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
    return np.where(keys[at] == asked, values[at], missing)


class _Parted:
    """Distinct edges by part of the users, each part by user and item; in memory where there is one part."""

    def __init__(self, edges: Iterable[Edges], parts: int) -> None:
        self.edges, self.parts = edges, parts
        self.folder: Path | None = None
        self.whole: Edges | None = None

    def __enter__(self) -> "_Parted":
        if self.parts == 1:
            self.whole = _distinct(list(self.edges))
            return self
        self.folder = temporary.folder()
        self._spill()
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            temporary.remove(self.folder)

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
        return self.folder / str(part)

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
