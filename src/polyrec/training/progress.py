"""A bar for a person, lines for a log file."""

import sys
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

Log = Callable[[str], None]
_OFTEN = 10  # steps between two moves of the bar


class Bar:
    """Stage, epoch, share done, time left, rows/s, the losses and the best validation, on stderr.

    On a terminal it is one moving line; elsewhere only `note` writes. Without a `log` there is neither.

    Args:
        log: writes a line that stays.
        stage: its name.
        steps: planned.
        epochs: planned.
        done: steps made before.
    """

    def __init__(self, log: Log | None, stage: str, steps: int, epochs: int, done: int = 0) -> None:
        self.log = log
        self.epochs = epochs
        self.moving = log is not None and sys.stderr.isatty()
        self.score = ""
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[words]}", style="dim"),
            console=Console(stderr=True),
            disable=not self.moving,
            transient=True,
        )
        self.stage = stage
        self.task = self.bar.add_task(stage, total=steps, completed=done, words="")

    def __enter__(self) -> "Bar":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def move(self, step: int, epoch: int) -> None:
        """Where training is; drawn every few steps."""
        if self.moving and step % _OFTEN == 0:
            self.bar.update(self.task, completed=step, description=f"{self.stage} · epoch {epoch + 1}/{self.epochs}")

    def tell(self, rate: float, losses: Mapping[str, float]) -> None:
        """How training goes."""
        if self.moving:
            shown = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
            self.bar.update(self.task, words=f"{rate:,.0f} rows/s  {shown}{self.score}")

    def note(self, text: str, best: float | None = None) -> None:
        """A line that stays, and the best validation to show from now on."""
        if best is not None:
            self.score = f"  best {best:.4f}"
        if self.log is None:
            return
        if self.moving:
            self.bar.console.print(text, highlight=False, markup=False)
        else:
            self.log(text)
