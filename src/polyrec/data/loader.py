"""Shuffled batches that stream from disk, and the place in them to go on from."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
import pyarrow as pa
import torch

from polyrec.batch import Batch, Jagged
from polyrec.data.ahead import ahead
from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.mixed import TOGETHER, Block, Mixed
from polyrec.distributed import ALONE, World
from polyrec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an epoch: this batch of this window comes next."""

    window: int = 0
    batch: int = 0


START = Position()
_EVERY = -1
_LEAST = 64  # rows of a batch for each process: of so many drawn ones each process has some


class Loader:
    """Batches of a source's rows.

    An epoch takes the row groups in an order drawn from (seed, epoch), `mixed` of them in turn, cuts the stream of
    their rows into windows of `shuffle_rows`, permutes each window by (seed, epoch, window) and cuts it into batches
    as equal as can be, of at most `batch_size`. Nothing is carried from one window to the next: a position names the
    rest of the epoch exactly, and memory is that of `prefetch` + 2 windows.

    With `part`, one of several processes, the batches of all together are those of one. Each process reads and encodes
    row groups of its own, and has their rows of a batch (`Mixed`); of row groups that cannot be dealt out evenly, or
    where a batch has fewer than 64 rows a process, each reads all and encodes its share of a batch.

    With `pin`, batches lie in page-locked memory, from which copies to a GPU run beside its work; the thread that
    encodes ahead pins them, a window at a time.

    Example:
        ```python
        loader = Loader(splits.train, encoder, batch_size=4096, shuffle_rows=262_144, seed=0, prefetch=1)
        for after, batch in loader.epoch(0):
            ...                                     # keep `after` to go on from there
        ```
    """

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        *,
        batch_size: int,
        shuffle_rows: int = 262_144,
        seed: int = 0,
        prefetch: int = 1,
        part: World = ALONE,
        pin: bool = False,
        mixed: int = TOGETHER,
    ) -> None:
        if batch_size < 1 or shuffle_rows < 1 or prefetch < 0 or mixed < 1:
            raise ConfigError(
                f"batch_size = {batch_size}, shuffle_rows = {shuffle_rows}, mixed = {mixed}, prefetch = {prefetch}: "
                "the first three must be at least 1, the last at least 0."
            )
        self.source = source.as_text(encoder.texts)
        self.encoder = encoder
        self.batch_size = batch_size
        self.shuffle_rows = shuffle_rows
        self.seed = seed
        self.prefetch = prefetch
        self.part = part
        self.pin = pin
        self.mixed = mixed

    @property
    def rows(self) -> int:
        """Rows in an epoch."""
        return self.source.rows()

    @property
    def steps(self) -> int:
        """Batches in an epoch, exactly."""
        whole, rest = divmod(self.rows, self.shuffle_rows)
        return whole * ceil(self.shuffle_rows / self.batch_size) + ceil(rest / self.batch_size)

    def epoch(self, number: int, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        """The batches of an epoch from `start` on, each with the position that comes after it.

        Raises:
            DataError: as `Source.tables` and `Encoder.encode`; unknown scenarios are refused.
        """
        for window, batches in ahead(self._windows(number, start.window), self.prefetch):
            first = start.batch if window == start.window else 0
            for place in range(first, len(batches)):
                after = Position(window, place + 1) if place + 1 < len(batches) else Position(window + 1, 0)
                yield after, batches[place]

    def ordered(self, *, labels: bool = True) -> Iterator[Batch]:
        """Every row once in the order of the files, for evaluation and prediction.

        With `part`, this process's share of the batches, which are those of one process.
        """
        for batches in ahead(self._in_order(labels), self.prefetch):
            yield from batches

    def _windows(self, epoch: int, first: int) -> Iterator[tuple[int, list[Batch]]]:
        mixed = Mixed(self.source, self.shuffle_rows, self.mixed, self.part, self._shared())
        stream = mixed.windows(self.encoder.columns(), (self.seed, epoch), first)
        for place, blocks in enumerate(stream, start=first):
            rows = sum(block.rows for block in blocks)
            order = np.random.default_rng((self.seed, epoch, place)).permutation(rows)
            if not self.part.alone:
                yield place, self._mine(blocks, order)
                continue
            batch = self.encoder.encode(pa.concat_tables([block.table for block in blocks]), strict=True)
            yield place, cut(self._pinned(batch.select(torch.from_numpy(order))), self.batch_size)

    def _shared(self) -> int | None:
        """From which row on every process reads all, lest one have no row of a batch; None: nowhere."""
        window = min(self.rows, self.shuffle_rows)
        if window // ceil(window / self.batch_size) < _LEAST * self.part.size:
            return 0
        last = self.rows // self.shuffle_rows * self.shuffle_rows
        return last if last and 0 < self.rows - last < self.shuffle_rows // 2 else None

    def _mine(self, blocks: list[Block], order: np.ndarray) -> list[Batch]:
        """Of each batch of a window the rows that are this process's, the only ones that it encodes."""
        owners = [_EVERY if block.owner is None else block.owner for block in blocks]
        owner = np.repeat(owners, [block.rows for block in blocks])
        shares = []
        for start, stop in pairwise(_edges(len(order), self.batch_size)):
            places = order[start:stop]
            dealt = places[owner[places] == _EVERY]
            low, high = self.part.share(len(dealt))
            shares.append(np.concatenate([places[owner[places] == self.part.rank], dealt[low:high]]))
        mine = np.concatenate(shares)
        chosen = np.zeros(len(order), bool)
        chosen[mine] = True
        read = pa.concat_tables([block.table for block in blocks if block.table is not None])
        here = chosen[(owner == _EVERY) | (owner == self.part.rank)]
        batch = self.encoder.encode(read.filter(pa.array(here)), strict=True)
        batch = self._pinned(batch.select(torch.from_numpy((np.cumsum(chosen) - 1)[mine])))
        ends = np.cumsum([0, *map(len, shares)]).tolist()
        return [part_of(batch, start, stop) for start, stop in pairwise(ends)]

    def _in_order(self, labels: bool) -> Iterator[list[Batch]]:
        size = max(self.batch_size, self.shuffle_rows // self.batch_size * self.batch_size)
        columns = self.encoder.columns(labels=labels)
        stream = self.source.tables(columns)
        if not self.part.alone:
            first, last = (one * self.batch_size for one in self.part.share(ceil(self.rows / self.batch_size)))
            stream = _first(self.source.tables(columns, first), last - first) if first < last else iter(())
        for rows in windows(stream, size):
            batch = self.encoder.encode(rows, labels=labels)
            yield [part_of(batch, at, at + self.batch_size) for at in range(0, len(batch), self.batch_size)]

    def _pinned(self, batch: Batch) -> Batch:
        return batch.map(torch.Tensor.pin_memory) if self.pin else batch


def windows(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` rows, the last one shorter.

    Example:
        >>> stream = iter([pa.table({"a": [1, 2, 3]}), pa.table({"a": [4]})])
        >>> [table["a"].to_pylist() for table in windows(stream, 2)]
        [[1, 2], [3, 4]]
    """
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        rest = table
        while count + rest.num_rows >= rows:
            yield pa.concat_tables([*held, rest.slice(0, rows - count)])
            rest = rest.slice(rows - count)
            held, count = [], 0
        if rest.num_rows:
            held.append(rest)
            count += rest.num_rows
    if held:
        yield pa.concat_tables(held)


def _first(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The first so many rows."""
    for table in tables:
        yield table.slice(0, rows)
        rows -= table.num_rows
        if rows <= 0:
            return


def cut(batch: Batch, most: int) -> list[Batch]:
    """Contiguous parts of nearly equal size, at most `most` rows each; views, not copies."""
    return [part_of(batch, start, stop) for start, stop in pairwise(_edges(len(batch), most))]


def _edges(rows: int, most: int) -> list[int]:
    found: list[int] = np.linspace(0, rows, ceil(rows / most) + 1).round().astype(int).tolist()
    return found


def part_of(batch: Batch, start: int, stop: int) -> Batch:
    """Rows `start` to `stop`; views, not copies."""
    return Batch(
        layout=batch.layout,
        ids=batch.ids[start:stop],
        numerics=batch.numerics[start:stop],
        scenario=batch.scenario[start:stop],
        labels=batch.labels[start:stop],
        observed=batch.observed[start:stop],
        weight=batch.weight[start:stop],
        user=batch.user[start:stop],
        sequences={name: _slice_jagged(one, start, stop) for name, one in batch.sequences.items()},
        vectors={name: one[start:stop] for name, one in batch.vectors.items()},
        item=None if batch.item is None else batch.item[start:stop],
    )


def _slice_jagged(jagged: Jagged, start: int, stop: int) -> Jagged:
    offsets = jagged.offsets[start : stop + 1]
    low, high = int(offsets[0]), int(offsets[-1])
    return Jagged(jagged.values[low:high], offsets - low)
