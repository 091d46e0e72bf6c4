"""Scoring files on a Ray cluster: Ray Data deals out parts of them to workers that hold the bundle."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from polyrec.cluster.beside import beside
from polyrec.cluster.connect import connected
from polyrec.cluster.deal import answer, deal
from polyrec.cluster.output import FORMAT, Output
from polyrec.cluster.parts import ROWS, Part, parts
from polyrec.data.files import Source
from polyrec.data.places import Place, few, mark, place
from polyrec.data.versions import known
from polyrec.errors import BundleError, DataError
from polyrec.progress import Progress
from polyrec.serving import Scorer


def predict(
    bundle: str | Path,
    paths: Sequence[Place],
    out: str | Path,
    *,
    workers: int,
    least: int = ROWS,
    log: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> int:
    """Score files into a folder: `part-N.parquet`, each whole, and `manifest.json` once all are there.

    Read in the order of their names, the files hold the rows that `Scorer.predict` writes. Every part of the input has
    one file, whoever scores it and however often; run again, what is complete stays. A worker scores on one CPU.

    Args:
        bundle: its folder, which every machine sees under the same path; so it is with the files and `out`.
        paths: parquet or CSV files.
        out: a folder that is new or empty, or holds this very work begun.
        workers: that hold the bundle, one each.
        least: rows of a part; see `parts`.
        log: told in a line what a person should know meanwhile.
        progress: told of the parts that are done.

    Returns:
        The rows in the folder.

    Raises:
        DataError: no rows, or some that the bundle cannot read.
        ConfigError: the folder holds something else, or another command with `--ray` is at work on it.
        NotReadyError: Ray is not installed or not reached, or a worker died several times at the same part.
    """
    scorer = Scorer.load(bundle)
    files = tuple(one.resolve() if isinstance(one, Path) else known(one) for one in map(place, paths))
    source = Source(files).as_text(scorer.encoder.texts).open(progress)
    schema = pa.schema(list(source.columns().items()))
    every, folder = list(parts(source.paths, schema, least)), Output(Path(out).resolve())
    plan = {
        "format": FORMAT,
        "bundle": scorer.manifest.identity,
        "rows of a part": least,
        "files": [[str(one), *mark(one)] for one in source.paths],
    }
    work = (str(Path(bundle).resolve()), plan["bundle"], str(folder.path), schema, source.texts)
    with beside(folder.path), folder.claimed(plan):
        found = {one: rows for one in every if (rows := folder.complete(one)) is not None}
        if rest := [one for one in every if one not in found]:
            with connected(workers, log=log) as ray:
                found |= _scored(ray, rest, work, workers, progress)
        if not any(found.values()):
            raise DataError(f"{few(source.paths)}: no rows to score. Check the files.")
        folder.finish(plan, [(one, found[one]) for one in every])
    return sum(found.values())


def _scored(
    ray: Any, rest: Sequence[Part], work: tuple[Any, ...], workers: int, progress: Progress | None
) -> dict[Part, int]:
    by_number, found = {one.number: one for one in rest}, dict[Part, int]()
    for told in deal(ray, [asdict(one) for one in rest], _Worker, work, workers):
        found[by_number[told["number"]]] = told["rows"]
        if progress is not None:
            progress("scoring parts", len(found), len(rest))
    return found


class _Worker:
    """An actor: the bundle once, and a part at a time."""

    def __init__(self, bundle: str, identity: str, out: str, schema: pa.Schema, texts: frozenset[str]) -> None:
        self.bundle, self.identity, self.output = bundle, identity, Output(Path(out))
        self.schema, self.texts = schema, texts
        self.scorer: Scorer | None = None

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        """Score a part."""
        part = Part(**told)
        return answer(part.number, lambda: self._score(part))

    def _score(self, part: Part) -> int:
        known = self.output.complete(part)  # by a worker that died before it could say so
        if known is not None:
            return known
        rows = part.rows(self.schema, self.texts)
        if not rows.rows():
            return 0
        self.scorer = self.scorer or self._load()
        with self.output.writing(part) as target:
            return self.scorer.predict(rows, target)

    def _load(self) -> Scorer:
        scorer = Scorer.load(self.bundle)
        if scorer.manifest.identity != self.identity:
            raise BundleError(f"{self.bundle} has become another bundle meanwhile. Run the command again.")
        return scorer
