"""From a run file to encoded rows: schema, split, vocabulary, encoder."""

from dataclasses import dataclass
from pathlib import Path

from polyrec.atomic import whole_folder
from polyrec.config import DataConfig
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

    def keep(self, folder: Path) -> None:
        """Save the fitted vocabulary, so that a resumed run encodes exactly as it did before."""
        if not folder.exists():
            with whole_folder(folder) as target:
                self.encoder.vocabulary.save(target)


def prepare(data: DataConfig, kept: Path | None = None) -> Prepared:
    """Read the schema, split the rows, and fit the vocabulary on the training rows alone.

    `kept`: where a run that is resumed has its vocabulary; it is not fitted again then.
    """
    schema = Schema.load(data.schema)
    splits = split(data, schema)
    known = kept is not None and kept.exists()
    vocabulary = Vocabulary.load(kept) if known and kept else Vocabulary.fit(schema, splits.train)
    schema = schema.with_scenarios(vocabulary.scenarios)
    return Prepared(schema, splits, Encoder(schema, vocabulary))
