"""What the training rows say: ids of values, statistics of numbers, names of scenarios."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.data.files import Source
from polyrec.data.fit import Find, find
from polyrec.data.keys import KeyKind, KeyValues, nothing
from polyrec.data.numbers import Numbers
from polyrec.data.spill import Space
from polyrec.data.values import Values
from polyrec.declare import parse
from polyrec.errors import BundleError
from polyrec.progress import Progress
from polyrec.schema import Feature, Schema

FORMAT = 1


@dataclass(frozen=True)
class Vocabulary:
    """Fitted on training rows only. Ids never move: 0 is out of vocabulary, 1 null, then values by falling count.

    `values` by feature, without those that share another's; `numbers` by numeric feature.

    Example:
        >>> import tempfile
        >>> from polyrec.schema import Keys, Task
        >>> path = Path(tempfile.mkdtemp()) / "log.parquet"
        >>> log = {"tab": ["home", "home", "feed"], "item": ["a", "b", "b"], "click": [0, 1, 0]}
        >>> pq.write_table(pa.table(log), path)
        >>> schema = Schema(Keys("tab"), (Feature("item", "categorical"),), (Task("click", "click"),))
        >>> vocabulary = Vocabulary.fit(schema, Source((path,)))
        >>> vocabulary.scenarios, vocabulary.values["item"].array().to_pylist()
        (('feed', 'home'), ['b', 'a'])
    """

    scenarios: tuple[str, ...]
    values: Mapping[str, Values]
    numbers: Mapping[str, Numbers]
    rows: int

    @classmethod
    def fit(cls, schema: Schema, source: Source, progress: Progress | None = None, find: Find = find) -> "Vocabulary":
        """Read the rows once, in bounded memory: counts beyond it lie in a temporary folder while this lasts.

        Args:
            schema: which columns, and what they mean.
            source: the training rows.
            progress: told how many rows are read.
            find: what reads them; see `Find`.

        Raises:
            DataError: a column is missing, of the wrong type or all null; a scenario is null or not declared.
            NotReadyError: the disk is full.
        """
        values = {}
        with Space() as space:
            found = find(schema, source, space, progress)
            for feature in _owners(schema):
                counted = found.counts[feature.name]
                empty = Values(counted.kind or "integer", nothing(counted.kind), feature.hash)
                values[feature.name] = empty.grown(counted, feature.min_count or 1)
        numbers = {name: tally.fitted() for name, tally in found.tallies.items()}
        return cls(found.scenarios, values, numbers, found.rows)

    def grow(self, schema: Schema, source: Source, *, scenarios: bool = False) -> "Vocabulary":
        """New ids for values that reach min_count in these rows; ids and numbers stay as they are.

        Args:
            schema: as of the fit.
            source: the new rows.
            scenarios: also take new scenarios, after those that are known.

        Raises:
            DataError: as `fit`; a scenario that is not known already, without `scenarios`.
            NotReadyError: the disk is full.
        """
        least = {feature.name: feature.min_count or 1 for feature in _owners(schema)}
        with Space() as space:
            found = find(schema.with_scenarios(() if scenarios else self.scenarios), source, space, gaps=True)
            values = {name: known.grown(found.counts[name], least[name]) for name, known in self.values.items()}
        names = (*self.scenarios, *(name for name in found.scenarios if name not in self.scenarios))
        return replace(self, scenarios=names, values=values, rows=self.rows + found.rows)

    def save(self, folder: str | Path) -> None:
        """Write vocabulary.json and a parquet file of values per feature."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        described = {}
        for place, (name, one) in enumerate(self.values.items()):
            file = f"values-{place:03d}.parquet"
            described[name] = {"kind": one.kind, "buckets": one.buckets, "count": len(one.known), "file": file}
            pq.write_table(pa.table({"value": one.array()}), folder / file, write_page_checksum=True)
        plain = {
            "format": FORMAT,
            "rows": self.rows,
            "scenarios": self.scenarios,
            "values": described,
            "numbers": {name: asdict(one) for name, one in self.numbers.items()},
        }
        (folder / "vocabulary.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            BundleError: a file is missing, cut short or of another format.
        """
        folder = Path(folder)
        try:
            plain = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
            if plain["format"] != FORMAT:
                raise BundleError(
                    f"{folder} has vocabulary format {plain['format']}; this version reads {FORMAT}. "
                    "Use the version that wrote it, or fit again."
                )
            return cls(
                tuple(plain["scenarios"]),
                {name: _load_values(folder, one) for name, one in plain["values"].items()},
                {name: parse(Numbers, one, f"number {name!r}", BundleError) for name, one in plain["numbers"].items()},
                plain["rows"],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as reason:
            raise BundleError(
                f"{folder} does not hold a whole vocabulary: {type(reason).__name__}: {reason}. "
                "Copy the folder again, or fit again."
            ) from reason


def _owners(schema: Schema) -> list[Feature]:
    """Features with ids of their own."""
    return [one for one in schema.features if one.kind in ("categorical", "sequence") and one.shares is None]


def _load_values(folder: Path, described: Mapping[str, Any]) -> Values:
    kind, path = described["kind"], folder / described["file"]
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if file.metadata.num_rows != described["count"]:
            raise ValueError(f"{path.name} has {file.metadata.num_rows} values, not {described['count']}")
        if described["buckets"] is not None:
            return Values(kind, nothing(kind), described["buckets"])
        return Values.of(kind, (_plain(kind, batch.column(0)) for batch in file.iter_batches()))


def _plain(kind: KeyKind, column: pa.Array) -> KeyValues:
    return column.to_numpy() if kind == "integer" else column.cast(pa.large_string())
