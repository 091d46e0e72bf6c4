"""What lies where when several processes train, and the memory that each takes: reckoned from the vocabulary."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from polyrec.batch import Layout
from polyrec.config import RunConfig
from polyrec.errors import ConfigError
from polyrec.nn.sharded import planned
from polyrec.nn.table import Table
from polyrec.progress import Progress
from polyrec.recipes.assemble import assemble, plan_of, training_of
from polyrec.recipes.prepare import prepare
from polyrec.training import Stage

NUMBER = 4  # bytes of a float32
MB, GB = 1e6, 1e9


@dataclass(frozen=True, slots=True)
class Held:
    """A table of a stage's model."""

    name: str
    rows: int
    dim: int
    sparse: bool

    def own(self, processes: int, least: int | None) -> int:
        """Rows of the process that has the most: all, unless they are split.

        Example:
            >>> table = Held("items", rows=101, dim=16, sparse=True)
            >>> table.own(2, least=100), table.own(2, least=None)
            (51, 101)
        """
        return -(-self.rows // processes) if self.split(processes, least) else self.rows

    def split(self, processes: int, least: int | None) -> bool:
        """Whether each process holds a part alone."""
        return self.sparse and processes > 1 and least is not None and self.rows >= least


@dataclass(frozen=True, slots=True)
class Sized:
    """What a stage holds: tables, all other weights, and how many copies of both beside those that learn."""

    name: str
    tables: tuple[Held, ...]
    dense: int
    copies: int

    def weights(self, processes: int, least: int | None) -> int:
        """Bytes of weights in a process."""
        return NUMBER * (self.dense + sum(one.own(processes, least) * one.dim for one in self.tables))

    def training(self, processes: int, least: int | None) -> tuple[int, int, int]:
        """Bytes while it trains beside the weights: the optimizer's, gradients', copies'."""
        rows = sum(one.own(processes, least) for one in self.tables if one.sparse)
        moved = self.dense + sum(one.rows * one.dim for one in self.tables if not one.sparse)
        return NUMBER * (rows + 2 * moved), NUMBER * moved, self.copies * self.weights(processes, least)


@dataclass(frozen=True, slots=True)
class Sizing:
    """The memory of a run's processes: weights of all stages at once, and of one at a time what training it takes.

    Optimizer: 4 bytes a row of a sparse table, 8 a number of all else. Copies: the best weights, their average.
    Activations, rows that are read ahead, and the program (some 400 MB) come on top.
    """

    stages: tuple[Sized, ...]
    processes: int
    least: int | None

    @property
    def memory(self) -> int:
        """Bytes that a process holds at most."""
        place = (self.processes, self.least)
        return sum(one.weights(*place) for one in self.stages) + max(sum(one.training(*place)) for one in self.stages)

    def within(self, memory: float) -> "Sizing":
        """The same with as few tables split as this memory allows.

        Raises:
            ConfigError: it is too little even where all are.
        """
        rows = sorted({one.rows for stage in self.stages for one in stage.tables if one.sparse}, reverse=True)
        for least in (None, *rows):
            found = Sizing(self.stages, self.processes, least)
            if found.memory <= memory:
                return found
        raise ConfigError(
            f"--memory {memory / GB:g}: {self.processes} processes need {found.memory / GB:.3g} GB each even where "
            "every table is split. Start more processes, or lower [model] dim or raise min_count in the schema."
        )

    def lines(self) -> list[str]:
        """In words and columns."""
        place = (self.processes, self.least)
        told = [f"{'stage':<12} {'what':<40} {'rows':>15} {'width':>6} {'MB a process':>13}  where"]
        for stage in self.stages:
            for one in stage.tables:
                size = NUMBER * one.own(*place) * one.dim
                told.append(_line(stage.name, one.name, f"{one.rows:,}", f"{one.dim}", size, one.split(*place)))
            told.append(_line(stage.name, "all other weights", "", "", NUMBER * stage.dense, split=False))
            parts = ("optimizer", "gradients", "best weights and their average")
            for name, size in zip(parts, stage.training(*place), strict=True):
                told.append(_line(stage.name, name, "", "", size, split=False, where="while it trains"))
        rows = "none is split" if self.least is None else f"those of {self.least:,} rows or more are split"
        return [
            *told,
            f"processes {self.processes}, tables: {rows}; a process holds at most {self.memory / MB:,.1f} MB",
        ]


def sizing(run: RunConfig, processes: int, vocabulary: Path | None = None, progress: Progress | None = None) -> Sizing:
    """What so many processes hold of a run: its rows are read for the vocabulary, nothing is trained.

    Args:
        run: as for `fit`.
        processes: how many share the work.
        vocabulary: of a run that has begun.
        progress: told how many rows are read.
    """
    layout = prepare(run.data, vocabulary, progress).encoder.layout
    return Sizing(
        tuple(_sized(run, layout, one) for one in plan_of(run).stages), processes, training_of(run).shard_rows
    )


def _sized(run: RunConfig, layout: Layout, stage: Stage) -> Sized:
    with planned():
        model = assemble(run, layout, stage.name).model
    tables = _tables(model)
    dense = sum(one.numel() for one in model.parameters()) - sum(one.rows * one.dim for one in tables)
    return Sized(stage.name, tuple(tables), dense, (stage.keep == "best") + (stage.training.average > 0))


def _tables(model: nn.Module) -> Sequence[Held]:
    named = ((name, one) for name, one in model.named_modules() if isinstance(one, Table))
    return [Held(name, one.rows, one.dim, one.sparse) for name, one in named]


def _line(stage: str, what: str, rows: str, width: str, size: int, split: bool, where: str = "") -> str:
    where = where or ("split by row" if split else "whole in each")
    return f"{stage:<12} {what:<40} {rows:>15} {width:>6} {size / MB:>13,.1f}  {where}"
