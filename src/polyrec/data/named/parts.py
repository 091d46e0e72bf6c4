"""Frames into parquet files of equal row groups, counted by scenario on the way."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 131_072


class Parts:
    """Files `NAME.parquet` of a folder, each opened with its first frame.

    Memory holds at most one row group and one frame for each file.

    Args:
        folder: where the files go.
        key: the scenario's column, which rows are counted by.
        labels: columns whose ones are counted.
        group: rows of a row group.

    Example:
        >>> import tempfile
        >>> with Parts(Path(tempfile.mkdtemp()), "tab", ["click"]) as parts:
        ...     parts.add("log", pl.DataFrame({"tab": ["a", "a", "b"], "click": [0, 1, None]}))
        >>> parts.counts
        {('log', 'a'): [2, 1], ('log', 'b'): [1, 0]}
    """

    def __init__(self, folder: Path, key: str, labels: Sequence[str], group: int = ROW_GROUP) -> None:
        self.folder, self.key, self.labels, self.group = folder, key, tuple(labels), group
        self.counts: dict[tuple[str, str], list[int]] = {}  # part, scenario -> rows, ones of each label
        self._waiting: dict[str, list[pa.Table]] = {}
        self._files: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for part in self._waiting:
                    self._write(part, 1)
        finally:
            for file in self._files.values():
                file.close()

    def add(self, part: str, frame: pl.DataFrame) -> None:
        """Append rows to a part; all frames of a part have the same columns."""
        if frame.is_empty():
            return
        sums = [pl.col(label).cast(pl.Int64).sum() for label in self.labels]
        tally = frame.group_by(pl.col(self.key).cast(pl.String)).agg(pl.len(), *sums).sort(self.key)
        for scenario, *numbers in tally.iter_rows():
            held = self.counts.setdefault((part, scenario), [0] * len(numbers))
            self.counts[part, scenario] = [old + new for old, new in zip(held, numbers, strict=True)]
        self._waiting.setdefault(part, []).append(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
        self._write(part, self.group)

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(numbers[0] for numbers in self.counts.values())

    def _write(self, part: str, least: int) -> None:
        waiting = self._waiting[part]
        while (held := sum(len(table) for table in waiting)) >= least and held:
            table = pa.concat_tables(waiting)
            if part not in self._files:
                path = self.folder / f"{part}.parquet"
                self._files[part] = pq.ParquetWriter(path, table.schema, compression="zstd")
            self._files[part].write_table(table.slice(0, self.group), row_group_size=self.group)
            waiting[:] = [table.slice(self.group)] if held > self.group else []
