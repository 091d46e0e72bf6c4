"""From a run file to encoded rows: schema, split, vocabulary, encoder."""

from dataclasses import dataclass
from pathlib import Path

from polyrec.atomic import whole_folder
from polyrec.config import DataConfig, RunConfig
from polyrec.data.encode import Encoder
from polyrec.data.split import Splits, split
from polyrec.data.vocabulary import Vocabulary
from polyrec.schema import Schema


@dataclass(frozen=True)
class Prepared:
    """Rows and their encoding, the same for every recipe trained on them."""

    schema: Schema
    splits: Splits
    encoder: Encoder


def prepare(data: DataConfig, folder: Path | None = None) -> Prepared:
    """Read the schema, split the rows, and fit the vocabulary on the training rows alone.

    `folder` keeps the fitted vocabulary, so that a resumed run encodes exactly as it did before.
    """
    schema = Schema.load(data.schema)
    splits = split(data, schema)
    kept = folder / "vocabulary" if folder is not None else None
    if kept is not None and kept.exists():
        vocabulary = Vocabulary.load(kept)
    else:
        vocabulary = Vocabulary.fit(schema, splits.train)
        if kept is not None:
            with whole_folder(kept) as target:
                vocabulary.save(target)
    schema = schema.with_scenarios(vocabulary.scenarios)
    return Prepared(schema, splits, Encoder(schema, vocabulary))


def same_data(one: RunConfig, other: RunConfig) -> bool:
    """Whether two runs read the same rows in the same way, so that one preparation serves both."""
    return one.data == other.data
