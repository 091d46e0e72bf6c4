"""What happened, one JSON line each."""

import json
import time
from pathlib import Path
from typing import Any


class Events:
    """Appends lines to events.jsonl, each whole and flushed.

    A resumed run drops the lines after its checkpoint, so that nothing is told twice.
    """

    def __init__(self, path: Path, upto: int | None = None) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [] if upto is None else [line for line in read(path) if line["total_step"] <= upto]
        path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def add(self, kind: str, **values: Any) -> None:
        """Append one event with its time in seconds since 1970."""
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, **values}, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of events; a line cut off by a crash is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
