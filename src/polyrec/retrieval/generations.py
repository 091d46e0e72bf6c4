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
    and removes what is older than the generation before. A reader that has its files open or mapped keeps them.

    Example:
        >>> import tempfile
        >>> found = Generations(Path(tempfile.mkdtemp()) / "index")
        >>> for text in ("old", "new"):
        ...     path = found.publish(lambda folder, text=text: (folder / "a.txt").write_text(text))
        >>> path.name, found.read(lambda folder: (folder / "a.txt").read_text())
        ('000002', 'new')
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @property
    def current(self) -> Path | None:
        """The current generation's folder; None before the first."""
        pointer = self.root / POINTER
        return self.root / pointer.read_text(encoding="utf-8").strip() if pointer.exists() else None

    def publish(self, write: Callable[[Path], object]) -> Path:
        """Write the next generation and make it the current one; one writer at a time."""
        old = self.current
        number = int(old.name) + 1 if old is not None else 1
        path = self.root / f"{number:06d}"
        with whole_folder(path) as folder:
            write(folder)
            for found in folder.rglob("*"):
                found.chmod(0o755 if found.is_dir() else 0o644)  # whoever serves may be another user
            folder.chmod(0o755)
        write_text(self.root / POINTER, path.name + "\n")
        (self.root / POINTER).chmod(0o644)
        for found in self.root.glob("[0-9]*"):
            if int(found.name) <= number - KEPT:
                shutil.rmtree(found, ignore_errors=True)
        return path

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
