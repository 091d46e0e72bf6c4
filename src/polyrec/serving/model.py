"""What serves now: a scorer, its requests, its catalogue; swapped as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from polyrec.artifact import Bundle
from polyrec.artifact.explain import explain, has_gates
from polyrec.batch import Batch
from polyrec.data.files import Source
from polyrec.data.places import Place
from polyrec.errors import DataError, NotReadyError, unknown
from polyrec.retrieval.hits import NOTHING
from polyrec.retrieval.recommend import Recommender
from polyrec.schema import ALL
from polyrec.serving.catalogue import MOST, Catalogue, best
from polyrec.serving.scorer import Scorer
from polyrec.serving.wire import (
    ExplainResponse,
    Factors,
    Flow,
    Mixture,
    Recommended,
    RecommendResponse,
    Scalar,
    ScoreResponse,
    Wire,
)
from polyrec.shapes import Float, Int, Tensor

RETRIEVED = 200  # candidates that an index finds for one request
Probabilities = Mapping[str, Float[Tensor, "B"]]  # by the wire's names


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Work of one /score: a list of values a column."""

    model: "Model"
    columns: Mapping[str, list[Any]]
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Rank:
    """Work of one /recommend: columns of the candidates, or of the user alone beside the catalogue's items."""

    model: "Model"
    columns: Mapping[str, list[Any]]
    rows: int
    keys: Sequence[Scalar] | None  # None: those of the catalogue
    weights: Mapping[str, float]
    k: int
    scenario: str


@dataclass(frozen=True, slots=True, eq=False)
class Explain:
    """Work of one /explain: the columns of one row, and the catalogue's item that it is beside, if any."""

    model: "Model"
    columns: Mapping[str, list[Any]]
    place: int | None
    rows: int = 1


Work = Score | Rank | Explain


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a server finds items to recommend: a table of them, or a bundle of two towers with its index."""

    items: tuple[Place, ...] = ()
    index: Path | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded bundle and everything that depends on it; a request is answered by the one it was read for."""

    scorer: Scorer
    folder: Path
    catalogue: Catalogue | None = None  # items that are ranked when a request names none
    recommender: Recommender | None = None  # finds some of them

    @classmethod
    def load(cls, folder: Path, sources: Sources | None = None, threads: int = 1) -> "Model":
        """Read a bundle, replay its golden rows, and encode its catalogue.

        Raises:
            BundleError: damaged, or scoring otherwise than when it was written.
            NotReadyError: the bundle that retrieves has no index.
            DataError: the items lack a column that the bundle's schema needs.
        """
        sources, scorer = sources or Sources(), Scorer.load(folder, threads)
        if sources.index is not None:
            recommender = Recommender.load(sources.index)
            return cls(scorer, folder, Catalogue.of(recommender.index.items, scorer.encoder), recommender)
        catalogue = Catalogue.read(Source(sources.items), scorer.encoder) if sources.items else None
        return cls(scorer, folder, catalogue)

    @cached_property
    def wire(self) -> Wire:
        """Requests of this model's schema, and of who retrieves for it."""
        return Wire(self.scorer.schema, () if self.recommender is None else self.recommender.bundle.schema.features)

    @property
    def identity(self) -> str:
        """Recipe and hash."""
        return self.scorer.manifest.identity

    def score(self, body: Any) -> Score:
        """Work for a body of /score."""
        return Score(self, self.wire.columns(body.rows), len(body.rows))

    @cached_property
    def gated(self) -> Bundle | None:
        """The bundle with its model built, which a program does not need; None where it has no gates to tell of."""
        found = self.scorer.bundle if isinstance(self.scorer.bundle, Bundle) else self._built()
        return found if has_gates(found.model) else None

    def _built(self) -> Bundle:
        found = Bundle.load(self.folder)
        if found.manifest.identity != self.identity:
            raise NotReadyError(
                f"the bundle's folder holds {found.manifest.identity} now and {self.identity} is served: the gates of "
                "one are not behind the scores of the other. Reload the bundle."
            )
        return found

    def explain(self, body: Any) -> Explain:
        """Work for a body of /explain.

        Raises:
            NotReadyError: the model has no gates, or another bundle lies in its folder since it was loaded.
            DataError: an item that the catalogue does not have.
        """
        if self.gated is None:
            recipe = self.scorer.manifest.recipe
            raise NotReadyError(f"the model ({recipe}) has no gates and no flows: nothing stands behind its scores.")
        place = None
        if body.item is not None:
            if self.catalogue is None or body.item not in self.catalogue.places:
                raise DataError(f"item: {body.item!r} is not in the catalogue. Give its features in the row.")
            place = self.catalogue.places[body.item]
        return Explain(self, self.wire.columns([body.row]), place)

    def rank(self, body: Any) -> Rank:
        """Work for a body of /recommend.

        Raises:
            DataError: a weight for something that is no target.
            NotReadyError: no candidates were given, and the server has no catalogue.
        """
        targets = [target.name for target in self.scorer.schema.targets]
        for name in body.objective:
            if name not in targets:
                raise DataError(f"objective: {unknown('target', name, targets, 'predicted')}")
        last = [target.name for target in self.scorer.schema.targets if target.space == ALL][-1]
        weights = body.objective or {last: 1.0}
        if body.items is not None:
            columns = self.wire.beside(body.user, body.items, body.scenario)
            return Rank(self, columns, len(body.items), self.wire.keys(body.items), weights, body.k, body.scenario)
        if self.catalogue is None:
            raise NotReadyError(
                "no items to recommend: give candidates as items = [...], or start the server with --items or --index."
            )
        columns = self.wire.beside(body.user, [body.user], body.scenario)
        rows = min(len(self.catalogue), MOST if self.recommender is None else RETRIEVED)
        return Rank(self, columns, rows, None, weights, body.k, body.scenario)

    def candidates(self, columns: Mapping[str, list[Any]], scenario: str) -> tuple[Int[Tensor, "N"], str]:
        """Rows of the catalogue that are worth ranking for a user, and how they were found.

        Raises:
            DataError: the index has no items of the scenario, or lacks a feature of the user.
        """
        assert self.catalogue is not None
        if self.recommender is None:
            few = len(self.catalogue) <= MOST
            return torch.arange(min(len(self.catalogue), MOST)), "all" if few else "most frequent"
        users = pa.table({name: pa.array(one) for name, one in columns.items()})
        found = self.recommender.retrieve(users, scenario, RETRIEVED).places[0]
        exact = self.recommender.index.shelves[scenario].retriever.is_exact
        return found[found != NOTHING], "exact" if exact else "approximate"


def answer(works: Sequence[Work]) -> list[Any]:
    """Answers of several requests: those that score rows of one model are encoded and scored as one."""
    answers: list[Any] = []
    for (model, kind), group in groupby(works, key=lambda one: (one.model, type(one))):
        same = list(group)
        if kind is Score:
            answers += _scores(model, same)  # type: ignore[arg-type]
        else:
            answers += [_explained(one) if isinstance(one, Explain) else _ranked(one) for one in same]  # type: ignore[arg-type]
    return answers


def _scores(model: Model, works: Sequence[Score]) -> list[ScoreResponse]:
    columns = works[0].columns
    if len(works) > 1:
        columns = {name: [one for work in works for one in work.columns[name]] for name in columns}
    found = _probabilities(model, columns)
    scores: list[Any] = list(map(model.wire.scores, *(one.tolist() for one in found.values())))
    answers, start = [], 0
    for work in works:
        answers.append(ScoreResponse(scores[start : start + work.rows], model.identity))
        start += work.rows
    return answers


def _probabilities(model: Model, columns: Mapping[str, list[Any]]) -> Probabilities:
    return _named(model, model.scorer.encoder.encode_columns(columns))


def _named(model: Model, batch: Batch) -> Probabilities:
    return {target.name: score for target, score in model.scorer.probabilities(batch).items()}


def _explained(work: Explain) -> ExplainResponse:
    bundle = work.model.gated
    assert bundle is not None
    batch = bundle.encoder.encode_columns(work.columns)
    if work.place is not None:
        assert work.model.catalogue is not None
        batch = work.model.catalogue.beside(batch, torch.tensor([work.place]))
    found = explain(bundle, batch)
    return ExplainResponse(
        {name: float(one[0]) for name, one in _named(work.model, batch).items()},
        [Mixture(one.gate, one.head, list(one.shares)) for one in found.mixtures],
        [Factors(one.gate, one.mean, one.low, one.high) for one in found.factors],
        [Flow(one.head, one.flow, one.kept) for one in found.flows],
        work.model.identity,
    )


def _ranked(work: Rank) -> RecommendResponse:
    model, keys, retrieval = work.model, work.keys, "given"
    if keys is None:
        catalogue = model.catalogue
        assert catalogue is not None
        places, retrieval = model.candidates(work.columns, work.scenario)
        keys = [catalogue.keys[place] for place in places.tolist()]
        found = _named(model, catalogue.beside(model.scorer.encoder.encode_columns(work.columns), places))
    else:
        found = _probabilities(model, work.columns)
    total = torch.stack([found[name] * weight for name, weight in work.weights.items()]).sum(0)
    items = [
        Recommended(keys[place], float(total[place]), {name: float(one[place]) for name, one in found.items()})
        for place in best(total, work.k).tolist()
    ]
    return RecommendResponse(items, len(keys), retrieval, model.identity)
