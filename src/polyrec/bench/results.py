"""results.jsonl: a line for each finished cell, whole or not at all."""

import json
import os
from collections.abc import Collection, Iterator
from copy import copy
from pathlib import Path
from typing import Any, TypeAlias

Line: TypeAlias = dict[str, Any]


class Results:
    """Lines on disk and in memory, the latest of a cell by its key.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> Results(path).add({"cell": "world/pooled/seed-0", "status": "done"})
        >>> with path.open("a") as file:
        ...     _ = file.write('{"cell": "world/pooled/see')  # killed while it wrote
        >>> list(Results(path))
        [{'cell': 'world/pooled/seed-0', 'status': 'done'}]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, Line] = {}
        self._whole = 0
        for text in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            if not text.endswith(b"\n"):
                break
            self._whole += len(text)
            line = json.loads(text)
            self._lines[line["cell"]] = line

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def get(self, cell: str) -> Line | None:
        """The latest line of a cell."""
        return self._lines.get(cell)

    def without(self, cells: Collection[str]) -> "Results":
        """The same lines but those of these cells; the file stays as it is."""
        found = copy(self)
        found._lines = {cell: line for cell, line in self._lines.items() if cell not in cells}
        return found

    def add(self, line: Line) -> None:
        """Append a line, on the disk when this returns; what was cut off before it is taken away."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > self._whole:
            os.truncate(self.path, self._whole)
        text = (json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n").encode()
        with self.path.open("ab") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        self._whole += len(text)
        self._lines[line["cell"]] = line
