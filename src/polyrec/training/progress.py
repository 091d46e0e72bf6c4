"""A bar for a person, lines for a log file."""

import sys
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Log = Callable[[str], None]


class Bar:
    """Epoch, step, rows/s, losses, the last validation and the time left, on stderr.

    On a terminal it is one moving line; elsewhere only `note` writes.
    """

    def __init__(self, log: Log | None, steps: int, done: int = 0) -> None:
        self.log = log
        self.moving = log is not None and sys.stderr.isatty()
        self.bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self.moving,
            transient=True,
        )
        self.task = self.bar.add_task("train", total=steps, completed=done, words="")

    def __enter__(self) -> "Bar":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, reason: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def move(self, step: int, epoch: int, epochs: int, rate: float, losses: Mapping[str, float]) -> None:
        """Where training is."""
        if self.moving:
            shown = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
            self.bar.update(
                self.task,
                completed=step,
                description=f"epoch {epoch + 1}/{epochs}",
                words=f"{rate:,.0f} rows/s  {shown}",
            )

    def note(self, text: str) -> None:
        """A line that stays."""
        if self.log is None:
            return
        if self.moving:
            self.bar.console.print(text, highlight=False)
        else:
            self.log(text)
