"""The first pass over the training rows on a Ray cluster: workers count parts of them, whose counts are joined."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

from polyrec.cluster.deal import answer, deal
from polyrec.data.files import Source
from polyrec.data.fit import Find, Findings, judged
from polyrec.data.gathered import Gathered
from polyrec.data.places import Place, place
from polyrec.data.slices import Slice, cut
from polyrec.data.spill import MEMORY, Space
from polyrec.errors import NotReadyError
from polyrec.progress import Progress
from polyrec.schema import Schema

ROWS = 1_000_000  # of a part at least
_EACH = 8  # parts of a worker, about: what is done anew where one dies, and fewer runs to merge than many parts have


def counting(ray: Any, folder: Path, workers: int, least: int = ROWS) -> Find:
    """What `Vocabulary.fit` finds by, on a cluster: bit for bit what it finds in one process.

    A part of the training rows is row groups that follow each other. A worker counts it as one process does, with the
    same bound on its memory, and leaves it in the folder; here the parts are joined in their order.

    Args:
        ray: the module, connected.
        folder: which every machine sees under the same path; counts go to a new one in it, to be removed afterwards.
        workers: that count, one part at a time on one CPU.
        least: rows of a part.
    """

    def find(
        schema: Schema, source: Source, space: Space, progress: Progress | None = None, *, gaps: bool = False
    ) -> Findings:
        whole = Gathered(schema, space)
        source.require(whole.columns)
        rows = source.rows()
        parts = list(cut(source, max(least, rows // (workers * _EACH))))
        mine = folder / uuid4().hex
        mine.mkdir(parents=True)
        done = 0
        for told in deal(ray, list(items(parts)), Worker, given(schema, parts, mine), workers) if parts else ():
            done += told["rows"]
            if progress is not None:
                progress("reading training rows", done, rows)
        for number in range(len(parts)):
            whole.join(mine / str(number))
        return judged(whole, source, gaps=gaps)

    return find


def items(parts: list[Slice]) -> Iterator[dict[str, Any]]:
    """What tells the parts from each other, as plain values."""
    before = 0
    for number, one in enumerate(parts):
        own = {
            "paths": [_told(path) for path in one.paths],
            "groups": one.groups,
            "first": one.first,
            "kept": one.kept,
        }
        yield {"number": number, "before": before, "part": json.dumps(own)}
        before += one.rows()


def _told(path: Place) -> tuple[str | int | None, ...]:
    """A file with what is known of it, which a worker need not ask for again."""
    return (str(path.absolute()),) if isinstance(path, Path) else (path.text, path.size, path.changed)


def given(schema: Schema, parts: list[Slice], folder: Path) -> tuple[Any, ...]:
    """What every worker is given: what the parts have in common, where counts go, and what memory may hold."""
    common = Slice((), parts[0].where, parts[0].texts, parts[0].whole) if parts else None
    return schema, common, str(folder), os.environ.get(MEMORY)


class Worker:
    """An actor that counts a part at a time."""

    def __init__(self, schema: Schema, common: Slice, folder: str, memory: str | None) -> None:
        self.schema, self.common, self.folder = schema, common, Path(folder)
        if memory is not None:
            os.environ[MEMORY] = memory

    def __call__(self, told: dict[str, Any]) -> dict[str, Any]:
        """Count a part into the folder of its number."""
        return answer(told["number"], lambda: self._count(**told))

    def _count(self, number: int, before: int, part: str) -> int:
        own = json.loads(part)
        rows = Slice(
            tuple(place(*one) for one in own["paths"]),
            self.common.where,
            self.common.texts,
            self.common.whole,
            tuple(own["groups"]),
            own["first"],
            tuple(own["kept"]),
        )
        target = self.folder / str(number)
        if not target.exists():  # by a worker that died before it could say so
            with Space() as space:
                found = Gathered(self.schema, space, before)
                for table in rows.tables(found.columns):
                    found.add(table)
                self._keep(found, target)
        return rows.rows()

    def _keep(self, found: Gathered, target: Path) -> None:
        """All of it or nothing: two workers may do the same part."""
        draft = target.with_name(f".{target.name}.{uuid4().hex}")
        try:
            draft.mkdir()
            found.save(draft)
            draft.rename(target)
        except OSError as reason:
            rmtree(draft, ignore_errors=True)
            if not target.exists():
                raise NotReadyError(
                    f"counts of values cannot be written to {target.parent}: {reason}. They lie beside --out until the "
                    "vocabulary is there: name a folder with more space, which every machine sees."
                ) from reason
