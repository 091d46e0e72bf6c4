"""Known values that are too many for memory: in files of their own, mapped, and found there by their hashes."""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from polyrec import temporary
from polyrec.data.hashing import hash_text, splitmix64
from polyrec.data.keys import KeyKind, KeyValues
from polyrec.data.lookup import Lookup, bits
from polyrec.data.runs import Runs
from polyrec.data.spill import Space
from polyrec.errors import NotReadyError


@dataclass(frozen=True, eq=False)
class Stored:
    """A folder below TMPDIR with values in the order of their ids and their hashes in order.

    The system keeps in memory what of it is read, once for all processes of a machine. Other processes get its path and
    not its values; the folder is removed when the object that made it is gone.

    Example:
        >>> stored = store("integer", [np.array([30, 10]), np.array([20])])
        >>> stored.known().tolist(), stored.lookup().find(splitmix64(np.array([20, 7]))).tolist()
        ([30, 10, 20], [2, -1])
    """

    folder: Path
    kind: KeyKind
    count: int
    longest: int
    _bytes: int = field(repr=False)  # of all texts

    def __deepcopy__(self, memo: Any) -> "Stored":
        """Itself: a copy would outlive the folder."""
        return self

    def known(self) -> KeyValues:
        """The values: int64 or large_string."""
        if self.kind == "integer":
            return self._array("values", np.int64, self.count)
        offsets = pa.py_buffer(self._array("offsets", np.int64, self.count + 1))
        texts = pa.py_buffer(self._array("values", np.uint8, self._bytes))
        return pa.LargeStringArray.from_buffers(self.count, offsets, texts)

    def lookup(self) -> Lookup:
        """The place of each value by its hash."""
        return Lookup(
            self._array("hashes", np.uint64, self.count),
            self._array("places", np.int32, self.count),
            self._array("starts", np.int32, 2 ** bits(self.count) + 1),
            self.longest,
        )

    def _array(self, name: str, kind: Any, count: int) -> np.ndarray:
        if not count:
            return np.zeros(0, kind)
        try:
            return np.asarray(np.memmap(self.folder / name, kind, "r", shape=(count,)))
        except OSError as reason:
            raise NotReadyError(
                f"{self.count:,} known values lie in {self.folder}, which this process does not see: {reason}. "
                "Set TMPDIR to a folder that all processes see."
            ) from reason


def store(kind: KeyKind, blocks: Iterable[KeyValues]) -> Stored:
    """Write values, a block at a time.

    Raises:
        NotReadyError: the disk is full.
    """
    with Space() as space:
        folder = temporary.folder()
        try:
            hashes = Runs(["hash", "place"], space)
            total = _write_values(folder, kind, blocks, hashes)
            longest = _write_hashes(folder, hashes)
        except BaseException:
            temporary.remove(folder)
            raise
    made = Stored(folder, kind, hashes.rows, longest, total)
    weakref.finalize(made, temporary.remove, folder)
    return made


def _write_values(folder: Path, kind: KeyKind, blocks: Iterable[KeyValues], hashes: Runs) -> int:
    """The values, and their hashes into `hashes`; how many bytes texts have."""
    total = 0
    with (folder / "values").open("wb") as values, (folder / "offsets").open("wb") as offsets:
        _append(offsets, np.zeros(1, np.int64))
        for block in blocks:
            hashed = splitmix64(block) if kind == "integer" else hash_text(block)
            places = np.arange(hashes.rows, hashes.rows + len(block), dtype=np.int32)
            hashes.add(pl.DataFrame({"hash": hashed, "place": places}))
            if isinstance(block, np.ndarray):
                _append(values, block)
                continue
            _, bounds, texts = block.buffers()
            edges = np.frombuffer(bounds, np.int64)[block.offset : block.offset + len(block) + 1] if len(block) else [0]
            if edges[-1] > edges[0]:
                _append(values, np.frombuffer(texts, np.uint8)[edges[0] : edges[-1]])
            _append(offsets, np.asarray(edges[1:]) - edges[0] + total)
            total += int(edges[-1] - edges[0])
    return total


def _write_hashes(folder: Path, hashes: Runs) -> int:
    """Hashes in order, their places, and where each bucket begins; how many the fullest bucket has."""
    shift = np.uint64(64 - bits(hashes.rows))
    begun = done = last = longest = 0  # buckets whose beginning is written; hashes written; where the last one begins
    with (
        (folder / "hashes").open("wb") as known,
        (folder / "places").open("wb") as places,
        (folder / "starts").open("wb") as starts,
    ):
        for block in hashes.merged():
            hashed = block["hash"].to_numpy()
            buckets = (hashed >> shift).astype(np.int64)
            new = np.searchsorted(buckets, np.arange(begun, buckets[-1] + 1)) + done
            longest = max(longest, int(np.diff(new, prepend=last).max(initial=0)))
            begun, last, done = int(buckets[-1]) + 1, int(new[-1]) if len(new) else last, done + len(hashed)
            _append(known, hashed)
            _append(places, block["place"].to_numpy())
            _append(starts, new.astype(np.int32))
        _append(starts, np.full(2 ** bits(done) + 1 - begun, done, np.int32))
    return max(longest, done - last)


def _append(file: BinaryIO, values: np.ndarray) -> None:
    if len(values):
        file.write(np.ascontiguousarray(values).tobytes())
