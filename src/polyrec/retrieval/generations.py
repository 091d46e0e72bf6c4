"""Generations of a folder: a new one is written beside the old, then a pointer moves; readers never wait."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from polyrec.atomic import whole_folder, write_text
from polyrec.errors import NotReadyError

T = TypeVar("T")
POINTER = "current"
KEPT = 2  # the current one, and the one before for readers that are opening it


class Generations:
    """Numbered folders under one root, and a file that names the current one.

    A reader opens what the pointer names. A writer makes the next folder whole, moves the pointer by one rename,
    and removes what is older than the `kept` last ones. A reader that has its files open or mapped keeps them.

    Args:
        root: their folder.
        kept: how many stay, the current one included; two at least for readers that are opening the one before.
        first: the first one's number.

    Example:
        >>> import tempfile
        >>> found = Generations(Path(tempfile.mkdtemp()) / "index")
        >>> for text in ("old", "new"):
        ...     path = found.publish(lambda folder, text=text: (folder / "a.txt").write_text(text))
        >>> path.name, found.read(lambda folder: (folder / "a.txt").read_text())
        ('000002', 'new')
    """

    def __init__(self, root: str | Path, *, kept: int = KEPT, first: int = 1) -> None:
        self.root, self.kept, self.first = Path(root), kept, first

    @property
    def current(self) -> Path | None:
        """The current generation's folder; None before the first."""
        pointer = self.root / POINTER
        return self.root / pointer.read_text(encoding="utf-8").strip() if pointer.exists() else None

    def publish(self, write: Callable[[Path], object]) -> Path:
        """Write the next generation and make it the current one; one writer at a time."""
        old = self.current
        number = int(old.name) + 1 if old is not None else self.first
        path = self.root / f"{number:06d}"
        with whole_folder(path) as folder:
            write(folder)
            for found in folder.rglob("*"):
                found.chmod(0o755 if found.is_dir() else 0o644)  # whoever serves may be another user
            folder.chmod(0o755)
        write_text(self.root / POINTER, path.name + "\n")
        (self.root / POINTER).chmod(0o644)
        for found in self.root.glob("[0-9]*"):
            if not number - self.kept < int(found.name) <= number:
                shutil.rmtree(found, ignore_errors=True)
        return path

    @property
    def numbers(self) -> tuple[int, ...]:
        """Generations that are there, up to the current one."""
        current = self.current
        found = sorted(int(one.name) for one in self.root.glob("[0-9]*"))
        return tuple(one for one in found if current is not None and one <= int(current.name))

    def go_back(self, number: int) -> Path:
        """Make an earlier generation the current one; those after it go with the next that is published.

        Raises:
            NotReadyError: it is not there (any more).
        """
        if number not in self.numbers:
            known = ", ".join(map(str, self.numbers)) or "none"
            raise NotReadyError(f"{self.root} has no generation {number}. There are: {known}. Name one of them.")
        write_text(self.root / POINTER, f"{number:06d}\n")
        return self.root / f"{number:06d}"

    def read(self, open_: Callable[[Path], T]) -> T:
        """What `open_` makes of the current generation; once more where that was replaced meanwhile.

        Raises:
            NotReadyError: there is none yet.
        """
        path = self.current
        if path is None:
            raise NotReadyError(f"{self.root} holds no index. Build one with `polyrec index`.")
        try:
            return open_(path)
        except Exception:
            newer = self.current
            if newer is None or newer == path:
                raise
            return open_(newer)
