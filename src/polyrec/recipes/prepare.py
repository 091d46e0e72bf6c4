"""From a run file to encoded rows: schema, split, vocabulary, encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from polyrec.atomic import whole_folder
from polyrec.config import DataConfig
from polyrec.data.encode import Encoder
from polyrec.data.places import marks
from polyrec.data.split import Splits, split
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import DataError
from polyrec.progress import Progress, told
from polyrec.schema import Schema


@dataclass(frozen=True)
class Prepared:
    """Rows and their encoding, the same for every recipe trained on them."""

    schema: Schema
    splits: Splits
    encoder: Encoder
    warnings: tuple[str, ...] = ()

    def keep(self, folder: Path) -> None:
        """Save the fitted vocabulary, so that a resumed run encodes exactly as it did before."""
        if not folder.exists():
            with whole_folder(folder) as target:
                self.encoder.vocabulary.save(target)

    def about(self) -> dict[str, Any]:
        """What a run must find unchanged when it is resumed."""
        parts = {"train": self.splits.train, "valid": self.splits.valid, "test": self.splits.test}
        rows = {f"rows of {name}": part.rows() for name, part in parts.items() if part is not None}
        paths = {str(path): path for part in parts.values() if part is not None for path in part.paths}
        files = marks([paths[name] for name in sorted(paths)])
        return {"schema": self.schema.fingerprint, **rows, **files}


def prepare(data: DataConfig, kept: Path | None = None, progress: Progress | None = None) -> Prepared:
    """Read the schema, split the rows, and fit the vocabulary on the training rows alone.

    Args:
        data: where the rows are.
        kept: where a run that is resumed has its vocabulary; it is not fitted again then.
        progress: told how many footers of files and how many rows are read.
    """
    schema = Schema.load(data.schema)
    splits = split(data, schema, progress)
    known = kept is not None and kept.exists()
    vocabulary = Vocabulary.load(kept) if known and kept else Vocabulary.fit(schema, splits.train, progress)
    schema = schema.with_scenarios(vocabulary.scenarios)
    prepared = Prepared(schema, splits, Encoder(schema, vocabulary))
    return replace(prepared, warnings=_checked(prepared, progress))


def _checked(prepared: Prepared, progress: Progress | None) -> tuple[str, ...]:
    """Refuse what would be refused after hours of training: scenarios and labels of every part, in one cheap pass.

    Returns:
        In words, which tasks have but one class among the training rows, or happen where their schema says they cannot,
        and which scenarios no row validates or tests.

    Raises:
        DataError: an unknown or null scenario, a label other than 0 and 1, or a task without an observed label.
    """
    schema, splits = prepared.schema, prepared.splits
    labels = [task.label for task in schema.tasks]
    columns = list(dict.fromkeys([schema.keys.scenario, *labels]))
    observed: dict[str, set[float]] = {label: set() for label in labels}
    orphans = dict.fromkeys((task.name for task in schema.tasks if task.after and task.strict), 0)
    absent: list[str] = []
    for name, source in (("train", splits.train), ("valid", splits.valid), ("test", splits.test)):
        if source is None:
            continue
        training, there = name == "train", set[str]()
        for table in told(progress, "checking rows", source.tables(columns), source.rows()):
            there |= prepared.encoder.check(table, strict=training)
            for task_name in orphans if training else ():
                orphans[task_name] += _orphans(table, schema, task_name)
            for label in labels if training else ():
                bounds = pc.min_max(table[label]).as_py()
                observed[label] |= {float(one) for one in bounds.values() if one is not None and not isnan(one)}
        absent += _absent(name, [one for one in schema.scenarios if one not in there])
    for task in schema.tasks:
        if not observed[task.label]:
            raise DataError(
                f"label {task.label!r} of task {task.name!r} is null in every training row: there is nothing to learn. "
                "Remove the task, or give rows with labels."
            )
    impossible = [
        f"task {name!r} happens in {count:,} training rows without {schema.task(name).after!r}, which the schema says "
        "it cannot (strict): what is learned of it is wrong. Mend the labels, or say strict = false"
        for name, count in orphans.items()
        if count
    ]
    return (*impossible, *_one_class(schema, observed), *absent)


def _absent(part: str, missing: Sequence[str]) -> list[str]:
    """In words, that a part of the rows leaves scenarios out."""
    if not missing:
        return []
    without = {
        "train": "nothing is learned of it",
        "valid": "when training stops is decided without it",
        "test": "nothing will be known of how well it does",
    }[part]
    shown = ", ".join(map(repr, missing[:8])) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    return [f"{part} has no row of scenario {shown}: {without}. Split otherwise, or give more rows"]


def _orphans(table: pa.Table, schema: Schema, name: str) -> int:
    """Rows on which a strict task happened and its parent is known not to have."""
    task = schema.task(name)
    mine, parent = (_truth(table[schema.task(one).label]) for one in (name, str(task.after)))
    return int(pc.sum(pc.and_(mine, pc.invert(pc.fill_null(parent, True)))).as_py() or 0)


def _truth(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_null(column.type) or pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
        return pa.chunked_array([pa.nulls(len(column), pa.bool_())])
    return pc.greater(column.cast(pa.float64()), 0.5)


def _one_class(schema: Schema, observed: dict[str, set[float]]) -> tuple[str, ...]:
    return tuple(
        f"label {task.label!r} of task {task.name!r} is {value:g} in every training row where it is known: "
        "the model can only learn that, and AUC is undefined without both classes"
        for task in schema.tasks
        if len(observed[task.label]) == 1
        for value in observed[task.label]
    )
