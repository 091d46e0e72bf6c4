"""Raw rows to probabilities, from Python and from files, in blocks of bounded memory."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.artifact import Bundle, Program
from polyrec.atomic import whole_file
from polyrec.batch import Batch
from polyrec.data.files import Source
from polyrec.data.places import few
from polyrec.errors import DataError
from polyrec.progress import Progress, told
from polyrec.schema import Target
from polyrec.shapes import Float, Tensor

BLOCK = 65_536


class Scorer:
    """Scores rows with a bundle.

    Example:
        ```python
        scorer = Scorer.load("runs/mmoe/bundle")
        scorer.score([{"user_id": 7, "item_id": 3, "tab": "home"}])   # [{"click": 0.12, ...}]
        ```
    """

    def __init__(self, bundle: Bundle | Program) -> None:
        self.bundle = bundle
        self.schema, self.encoder, self.manifest = bundle.schema, bundle.encoder, bundle.manifest

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1) -> "Scorer":
        """A scorer of the bundle in that folder: by its ONNX program where there is one, else by its model.

        Args:
            folder: the bundle.
            threads: that one run of a program may use.

        Raises:
            BundleError: damaged, or scoring otherwise than when it was written.
        """
        return cls(Program.load(folder, threads) if Program.can_run(folder) else Bundle.load(folder))

    def probabilities(self, batch: Batch) -> dict[Target, Float[Tensor, "B"]]:
        """The probability of every target for encoded rows."""
        return self.bundle.probabilities(batch)

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
        """The probability of every target for each row of raw feature values, by the wire's names."""
        scores = self.probabilities(self.encoder.encode_rows(rows))
        columns = {target.name: score.tolist() for target, score in scores.items()}
        return [dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)]

    def tables(self, source: Source, progress: Progress | None = None) -> Iterator[pa.Table]:
        """Key columns and a probability column per target, block by block, in the order of the rows."""
        schema = self.schema
        names = (schema.keys.user, schema.keys.item, schema.keys.scenario, schema.keys.time, schema.keys.group)
        source = source.as_text(self.encoder.texts).open(progress)
        present = set(source.columns())
        keys = [name for name in dict.fromkeys(names) if name is not None and name in present]
        wanted = list(dict.fromkeys([*keys, *(one.name for one in schema.features), schema.keys.scenario]))
        for table in told(progress, "scoring rows", source.tables(wanted), source.rows() if progress else 0):
            for start in range(0, table.num_rows, BLOCK):
                yield self._block(table.slice(start, BLOCK), keys)

    def _block(self, rows: pa.Table, keys: list[str]) -> pa.Table:
        scores = self.probabilities(self.encoder.encode(rows, labels=False))
        columns = {name: _plain(rows[name]) for name in keys}
        columns |= {target.column: pa.array(score.numpy().astype(np.float32)) for target, score in scores.items()}
        return pa.table(columns)

    def predict(self, source: Source, out: str | Path, progress: Progress | None = None) -> int:
        """Write the table of `tables` to a parquet file that appears whole; returns its rows.

        Args:
            source: the rows.
            out: the file.
            progress: told how many rows are done.

        Raises:
            DataError: the source has no rows, or a column that the bundle needs is missing.
        """
        written = 0
        with whole_file(out) as target:
            writer = None
            try:
                for table in self.tables(source, progress):
                    writer = writer or pq.ParquetWriter(target, table.schema)
                    writer.write_table(table)
                    written += table.num_rows
            finally:
                if writer is not None:
                    writer.close()
            if writer is None:
                raise DataError(f"{few(source.paths)}: no rows to score. Check the files.")
        return written


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return column.cast(pa.string() if pa.types.is_large_string(kind) else kind)  # as every other file's
