"""The folder of a run: whose it is, and whether it may be written to."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyrec.atomic import write_text
from polyrec.config import RunConfig
from polyrec.declare import read_toml, to_toml
from polyrec.errors import ConfigError, NotReadyError

try:
    import fcntl
except ImportError:  # not on this system: nothing is promised there
    fcntl = None  # type: ignore[assignment]

_LOOK = 0.05  # seconds between looks at a lock


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names of what a run leaves behind."""

    path: Path

    @property
    def run(self) -> Path:
        """The resolved run file."""
        return self.path / "run.toml"

    @property
    def events(self) -> Path:
        """One JSON line an event of training."""
        return self.path / "events.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Where `--resume` finds its place."""
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        """The numbers; its presence says that the run is finished."""
        return self.path / "report.json"

    @property
    def validation(self) -> Path:
        """How good the kept weights are on the validation rows: higher is better."""
        return self.path / "validation.json"

    @property
    def page(self) -> Path:
        """The report as a page."""
        return self.path / "report.html"

    @property
    def predictions(self) -> Path:
        """Scores of the test rows, which `compare` pairs."""
        return self.path / "test.parquet"

    @property
    def bundle(self) -> Path:
        """The model that scores."""
        return self.path / "bundle"

    @property
    def vocabulary(self) -> Path:
        """How this run encodes values."""
        return self.path / "vocabulary"

    def check(self, run: RunConfig, resume: bool) -> None:
        """Whether this run may have the folder.

        Raises:
            ConfigError: it holds files and `resume` is not asked for, or another run than this one.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"--out {self.path} is a file. Name a folder.")
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        if not resume:
            raise ConfigError(
                f"--out {self.path} is not empty: nothing is overwritten. "
                "Add --resume to go on with the run in it, or name another folder."
            )
        if not self.run.exists():
            if {one.name for one in self.path.iterdir() if one.suffix != ".tmp"} <= {"data.json"}:
                return  # stopped while it claimed the folder
            raise ConfigError(f"--out {self.path} holds files but no run.toml: no run to resume. Name another folder.")
        if self.run.read_text(encoding="utf-8") != to_toml(run.to_dict()):
            differing = _differing(read_toml(self.run), run.to_dict())
            raise ConfigError(
                f"--out {self.path} holds another run; they differ in {', '.join(differing) or 'their run files'}. "
                "Resume with the run file it was started with, or name another folder."
            )

    def check_made_by(self, command: str, marks: Sequence[str]) -> None:
        """Whether the folder is a command's own, by what it leaves there, or new or empty.

        Raises:
            ConfigError: it holds something else, which would be mixed up or overwritten.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"--out {self.path} is a file. Name a folder.")
        held = {one.name for one in self.path.iterdir()} if self.path.exists() else set()
        if held and held.isdisjoint(marks):
            raise ConfigError(
                f"--out {self.path} holds {min(held)}, which is not of `polyrec {command}`: nothing is overwritten. "
                "Name another folder."
            )

    @contextmanager
    def held(self, patience: float = 0.0) -> Iterator[int | None]:
        """Keep every other process from training in the folder meanwhile.

        Args:
            patience: seconds to wait for another one that is about to end.

        Returns:
            The lock's handle. A process that inherits it holds the folder too, for as long as it lives.

        Raises:
            ConfigError: another one does.
        """
        if fcntl is None:
            yield None
            return
        self.path.mkdir(parents=True, exist_ok=True)
        handle, until = os.open(self.path, os.O_RDONLY), time.monotonic() + patience
        try:
            while not _locked(handle):
                if time.monotonic() >= until:
                    raise ConfigError(
                        f"--out {self.path}: another process is training in it. "
                        "Wait for it to end, or name another folder."
                    )
                time.sleep(_LOOK)
            yield handle
        finally:
            os.close(handle)

    def empty(self) -> None:
        """Take away all that it holds. The folder itself stays, and with it the lock of who trains in it next.

        Raises:
            ConfigError: another process is training in it.
        """
        if not self.path.exists():
            return
        with self.held():
            for one in self.path.iterdir():
                shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()

    def claim(self, run: RunConfig, about: Mapping[str, Any]) -> None:
        """Make the folder this run's, or see that its schema and rows are still those it was started with.

        Args:
            run: what to train.
            about: what must not change under a run: the schema's fingerprint and the rows of each part.

        Raises:
            ConfigError: the schema or the rows are others now.
        """
        path = self.path / "data.json"
        if not self.run.exists():
            write_text(path, json.dumps(about, indent=1) + "\n")
            write_text(self.run, to_toml(run.to_dict()))
            return
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        changed = [key for key in about if before.get(key) != about[key]]
        if changed:
            raise ConfigError(
                f"--out {self.path} was started on other data: {', '.join(changed)} changed since. "
                "Put the schema and the files back as they were, or start anew in another folder."
            )

    def validated(self) -> dict[str, Any]:
        """What validation.json says."""
        found: dict[str, Any] = json.loads(self.validation.read_text(encoding="utf-8"))
        return found

    def has_ended(self, *, only_validate: bool = False) -> bool:
        """Whether nothing is left to do: its report is there, or what `only_validate` leaves."""
        return self.report.exists() or (only_validate and self.validation.exists())

    def finished(self) -> "RunFolder":
        """The folder, once its run is known to be finished.

        Raises:
            NotReadyError: no finished run there.
        """
        for path in (self.report, self.predictions):
            if not path.exists():
                raise NotReadyError(
                    f"{self.path} has no {path.name}: no finished run. Run `polyrec fit` into it first."
                )
        return self


def _locked(handle: int) -> bool:
    """Whether no other process has the lock; on a file system without locks nobody has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _differing(old: object, new: object, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        return [text for key in keys for text in _differing(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))]
    same = list(old) == list(new) if isinstance(old, list) and isinstance(new, (list, tuple)) else old == new
    return [] if same else [path]
