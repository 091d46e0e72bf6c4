"""What happened, one JSON line each."""

import json
import os
import time
from pathlib import Path
from typing import Any


class Events:
    """Appends lines to a file, each whole and flushed.

    A run that goes on from a checkpoint cuts the file where it was then, so that nothing is told twice.

    Example:
        >>> import tempfile
        >>> events = Events(Path(tempfile.mkdtemp()) / "events.jsonl")
        >>> events.add("step", step=1)
        >>> here = events.size()
        >>> events.add("step", step=2)
        >>> events.cut(here)
        >>> [line["step"] for line in read(events.path)]
        [1]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def add(self, kind: str, **values: Any) -> None:
        """Append one event with its time in seconds since 1970."""
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, **values}, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def size(self) -> int:
        """Bytes so far, all of them on the disk."""
        with self.path.open("rb") as handle:
            os.fsync(handle.fileno())
            return handle.seek(0, os.SEEK_END)

    def cut(self, size: int) -> None:
        """Drop everything after the first `size` bytes."""
        if self.path.stat().st_size > size:
            os.truncate(self.path, size)

    def begin(self, stage: str) -> int:
        """Drop what an earlier attempt at this stage told, and a line that was cut off.

        Returns:
            Steps of the stages before it.
        """
        whole, before = 0, 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            found = _parsed(line)
            if found is None or found.get("stage") == stage:
                break
            whole, before = whole + len(line), int(found.get("total_step", before))
        self.cut(whole)
        return before


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a file; a last line that was cut off is left out."""
    if not path.exists():
        return []
    found = [_parsed(line) for line in path.read_bytes().splitlines(keepends=True)]
    return [line for line in found if line is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return found
