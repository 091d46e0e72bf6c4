"""Retrieve, then rank: candidates from a scenario's index, ordered by any ranking bundle, in one call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from polyrec.artifact import Bundle
from polyrec.batch import Jagged
from polyrec.errors import ConfigError, DataError, unknown
from polyrec.retrieval.build import completed
from polyrec.retrieval.hits import NOTHING, Hits
from polyrec.retrieval.index import ItemIndex
from polyrec.retrieval.mapped import picked
from polyrec.retrieval.trial import embed, towers
from polyrec.shapes import Float, Tensor

Keys = Sequence[Sequence[Any]]  # item keys, a row a user


class Recommender:
    """A bundle with two towers and its index of items.

    Example:
        ```python
        recommender = Recommender.load("runs/sass/bundle")
        users = pa.table({"user_id": [7, 8]})
        hits = recommender.retrieve(users, "home", k=20)                        # rows of recommender.index.items
        best = recommender.recommend(users, "home", k=20, ranker=Bundle.load("runs/mmoe/bundle"), by={"buy": 1.0})
        recommender.keys(best)                                                  # item keys, best first
        ```
    """

    def __init__(self, bundle: Bundle, index: ItemIndex) -> None:
        towers(bundle.model)
        self.bundle, self.index = bundle, index

    @classmethod
    def load(cls, folder: str | Path) -> "Recommender":
        """The bundle in that folder with its current index.

        Raises:
            BundleError: bundle or index is damaged, or they do not belong together.
            NotReadyError: it has no index.
            DataError: its model has no two towers, so that it can have none.
        """
        bundle = Bundle.load(folder)
        towers(bundle.model)
        return cls(bundle, ItemIndex.load(folder, bundle))

    def retrieve(
        self,
        users: pa.Table,
        scenario: str,
        k: int,
        *,
        exclude: Keys | None = None,
        allow: Sequence[Any] | None = None,
    ) -> Hits:
        """The k items of the scenario nearest to each user, as rows of `index.items`.

        Args:
            users: a row a user, with the user's features (and the context's; what is missing of that is null).
            scenario: whose index, and under which the user vectors are made.
            k: hits a user.
            exclude: item keys that a user must not get; those not in the index are left alone.
            allow: the only item keys that may be found; all where None.

        Raises:
            DataError: a user feature is missing, the scenario has no items, or exclusions of another number of rows.
        """
        self.index.shelf(scenario)  # there must be one, before users are read
        hidden = None if exclude is None else self._excluded(exclude, users.num_rows)
        allowed = None if allow is None else self.index.rows(allow)
        if allowed is not None:
            allowed = allowed[allowed >= 0]
        return self.index.search(scenario, self.users(users, scenario), k, exclude=hidden, allow=allowed)

    def users(self, rows: pa.Table, scenario: str) -> Float[Tensor, "B D"]:
        """The vector of each user in the scenario."""
        wanted = [one.name for one in self.bundle.schema.features if one.side == "user"]
        missing = [name for name in wanted if name not in rows.column_names]
        if missing:
            raise DataError(unknown("user feature", missing[0], rows.column_names, "among the users' columns"))
        encoder = self.bundle.encoder
        return embed(self.bundle.model, "user", encoder.encode(completed(rows, encoder, scenario), labels=False))

    def recommend(
        self,
        users: pa.Table,
        scenario: str,
        k: int,
        *,
        ranker: Bundle,
        by: Mapping[str, float] | None = None,
        candidates: int = 200,
        exclude: Keys | None = None,
        allow: Sequence[Any] | None = None,
    ) -> Hits:
        """Retrieve `candidates` items for each user and order them by the ranker; scores are the ranker's.

        Args:
            users: as for `retrieve`, with whatever else the ranker reads; what is missing of that is null.
            scenario: as for `retrieve`; the ranker must know it.
            k: hits a user.
            ranker: any bundle; it reads item features from the index.
            by: weights of the ranker's targets by name (`buy`, `buy_given_click`): the score is the weighted sum of
                their probabilities. The first target where None.
            candidates: retrieved for each user, at least k.
            exclude: as for `retrieve`.
            allow: as for `retrieve`.

        Raises:
            ConfigError: fewer candidates than k, or a target that the ranker does not have.
            DataError: as `retrieve`.
        """
        if candidates < k:
            raise ConfigError(f"candidates = {candidates}: at least k = {k} must be retrieved to rank k.")
        names = [target.name for target in ranker.schema.targets]
        weights = {names[0]: 1.0} if by is None else dict(by)
        for name in weights:
            if name not in names:
                raise ConfigError(unknown("target", name, names, "predicted by the ranking bundle"))
        found = self.retrieve(users, scenario, candidates, exclude=exclude, allow=allow)
        user, column = torch.nonzero(found.places != NOTHING, as_tuple=True)
        scores = torch.full_like(found.scores, -torch.inf)
        if len(user):
            rows = self._joined(users, user.numpy(), found.places[user, column].numpy())
            batch = ranker.encoder.encode(completed(rows, ranker.encoder, scenario), labels=False)
            by_name = {target.name: score for target, score in ranker.probabilities(batch).items()}
            total = torch.stack([weight * by_name[name] for name, weight in weights.items()]).sum(0)
            scores[user, column] = total.to(scores.dtype)
        best, at = scores.topk(min(k, scores.shape[1]), 1)
        places = found.places.gather(1, at)
        return Hits(torch.where(best.isneginf(), torch.full_like(places, NOTHING), places), best)

    def keys(self, hits: Hits) -> list[list[Any]]:
        """Item keys of hits, best first; shorter where fewer were found."""
        there = hits.places != NOTHING
        key = self.index.key
        names = iter(picked(self.index.items.select([key]), hits.places[there].numpy())[key].to_pylist())
        return [[next(names) for _ in range(count)] for count in there.sum(1).tolist()]

    def _joined(self, users: pa.Table, user: np.ndarray, item: np.ndarray) -> pa.Table:
        """A row for each user and candidate."""
        left, right = users.take(pa.array(user)), picked(self.index.items, item)
        columns = {name: left[name] for name in left.column_names} | {name: right[name] for name in right.column_names}
        return pa.table(columns)

    def _excluded(self, exclude: Keys, users: int) -> Jagged:
        if len(exclude) != users:
            raise DataError(f"exclude has {len(exclude)} rows for {users} users: give one row a user.")
        lengths = [len(row) for row in exclude]
        dtype = pl.Series(self.index.items[self.index.key].slice(0, 0)).dtype
        flat = pl.Series([key for row in exclude for key in row], dtype=dtype, strict=False)
        rows = self.index.rows(flat)
        row = torch.arange(users).repeat_interleave(torch.tensor(lengths, dtype=torch.int64))
        pairs = torch.unique(row[rows >= 0] * max(self.index.items.num_rows, 1) + rows[rows >= 0])
        span = max(self.index.items.num_rows, 1)
        offsets = torch.zeros(users + 1, dtype=torch.int64)
        offsets[1:] = torch.cumsum(torch.bincount(pairs // span, minlength=users), 0)
        return Jagged(pairs % span, offsets)
