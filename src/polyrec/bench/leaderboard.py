"""The leaderboard on disk."""

from dataclasses import dataclass
from pathlib import Path

from polyrec.atomic import write_text
from polyrec.bench import page
from polyrec.bench.board import board
from polyrec.bench.results import Results
from polyrec.bench.suite import Suite


@dataclass(frozen=True, slots=True)
class Written:
    """The two forms of the page."""

    markdown: Path
    html: Path


def write(suite: Suite, out: Path, results: Results | None = None) -> Written:
    """Write leaderboard.md and leaderboard.html of what is finished."""
    found = board(suite, out, results)
    text = f"# Suite {suite.name}\n\n{page.markdown(found)}"
    return Written(write_text(out / "leaderboard.md", text), write_text(out / "leaderboard.html", page.html(found)))
