"""A bar on stderr for work that lasts, where stderr is a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from polyrec.progress import Progress

AFTER = 2.0  # seconds before a bar appears
_OFTEN = 0.1  # seconds between two moves of it


@contextmanager
def bars() -> Iterator[Progress | None]:
    """A `Progress` that draws what it is told, one bar for each thing in turn; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    drawn = _Bars()
    try:
        yield drawn
    finally:
        drawn.close()


class _Bars:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[rate]}", style="dim"),
            console=Console(stderr=True),
            transient=True,
        )
        self.what = ""
        self.begun = self.moved = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self.what:
            self.close()
            self.what, self.begun, self.moved = what, now, 0.0
        if done >= total:
            self.close()
        elif now - self.begun >= AFTER and now - self.moved >= _OFTEN:
            self._move(done, total, done / max(now - self.begun, 1e-9))
            self.moved = now

    def _move(self, done: int, total: int, rate: float) -> None:
        if not self.bar.tasks:
            self.bar.add_task(self.what, total=total, rate="")
            self.bar.start()
        self.bar.update(self.bar.tasks[0].id, completed=done, total=total, rate=f"{rate:,.0f} a second")

    def close(self) -> None:
        """Take the bar away."""
        self.what = ""
        if self.bar.tasks:
            self.bar.stop()
            self.bar.remove_task(self.bar.tasks[0].id)
