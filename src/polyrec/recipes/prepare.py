"""From a run file to encoded rows: schema, split, vocabulary, encoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyrec.atomic import whole_folder
from polyrec.config import DataConfig
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.split import Splits, split
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import DataError, unknown
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

    def about(self) -> dict[str, Any]:
        """What a run must find unchanged when it is resumed."""
        parts = {"train": self.splits.train, "valid": self.splits.valid, "test": self.splits.test}
        rows = {f"rows of {name}": part.rows() for name, part in parts.items() if part is not None}
        return {"schema": self.schema.fingerprint, **rows}


def prepare(data: DataConfig, kept: Path | None = None) -> Prepared:
    """Read the schema, split the rows, and fit the vocabulary on the training rows alone.

    `kept`: where a run that is resumed has its vocabulary; it is not fitted again then.
    """
    schema = Schema.load(data.schema)
    splits = split(data, schema)
    known = kept is not None and kept.exists()
    vocabulary = Vocabulary.load(kept) if known and kept else Vocabulary.fit(schema, splits.train)
    schema = schema.with_scenarios(vocabulary.scenarios)
    prepared = Prepared(schema, splits, Encoder(schema, vocabulary))
    if schema.unknown_scenario == "refuse":
        _check_scenarios(schema, {"validation": splits.valid, "test": splits.test})
    return prepared


def _check_scenarios(schema: Schema, parts: Mapping[str, Source | None]) -> None:
    """Refuse a scenario that training has not seen before hours are spent on training.

    Raises:
        DataError: its name, in which part it is, and the known ones.
    """
    column = schema.keys.scenario
    for part, source in parts.items():
        for table in source.tables([column]) if source is not None else ():
            for name in table[column].unique().to_pylist():
                if name is not None and str(name) not in schema.scenarios:
                    where = f"among those of the training rows, yet {part} rows have it"
                    raise DataError(
                        unknown("scenario", str(name), schema.scenarios, where)
                        + " Remove those rows, or set unknown_scenario = 'shared' in the schema."
                    )
