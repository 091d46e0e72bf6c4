"""The folder of generations: what is in it, and whose it is."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyrec.atomic import write_text
from polyrec.config import RunConfig
from polyrec.declare import to_toml
from polyrec.errors import ConfigError, NotReadyError
from polyrec.evaluation.html import render_history
from polyrec.recipes.continual.state import State
from polyrec.recipes.folder import RunFolder
from polyrec.retrieval.generations import Generations
from polyrec.training.events import Events, read


@dataclass(frozen=True, slots=True)
class ContinualFolder:
    """Names of what `update` leaves behind.

    `generations/` and the pointer in it are what counts; `history.jsonl`, `report.html` and the link `bundle` follow it
    and are made anew from it at every call.
    """

    path: Path

    @classmethod
    def between(cls, folder: Path, out: str | Path | None) -> "ContinualFolder":
        """The folder to write: `out`, or `folder` where that holds generations.

        Raises:
            ConfigError: neither is one.
            NotReadyError: there is no `folder`.
        """
        _there(folder)
        if out is not None:
            return cls(Path(out))
        if not (folder / "generations").is_dir():
            raise ConfigError(f"{folder} holds no generations yet. Name a folder for them with --out.")
        return cls(folder)

    @property
    def history(self) -> Path:
        """A JSON line a period."""
        return self.path / "history.jsonl"

    @property
    def page(self) -> Path:
        """The history as a page."""
        return self.path / "report.html"

    @property
    def bundle(self) -> Path:
        """A link to the model that stands."""
        return self.path / "bundle"

    @property
    def events(self) -> Path:
        """What happened, refusals and going back among it."""
        return self.path / "events.jsonl"

    def generations(self, kept: int) -> Generations:
        """The generations; the first is 0."""
        return Generations(self.path / "generations", kept=kept, first=0)

    def sample(self, what: str, number: int) -> Path:
        """Rows of a period that are kept: `"held"`, never trained on, or `"replay"`, trained on."""
        return self.path / what / f"{number:06d}.parquet"

    def forget(self, number: int) -> None:
        """Take away the kept rows of periods after a generation."""
        for one in [*self.path.glob("held/*.parquet"), *self.path.glob("replay/*.parquet")]:
            if int(one.stem) > number:
                one.unlink()

    def working(self, name: str) -> Path:
        """Where training on a period keeps its place; that of any other period is taken away."""
        root = self.path / "working"
        for one in root.glob("*"):
            if one.name != name:
                shutil.rmtree(one, ignore_errors=True)
        (root / name).mkdir(parents=True, exist_ok=True)
        return root / name

    def config(self) -> RunConfig:
        """The run that goes on."""
        return RunConfig.load(self.path / "run.toml")

    def finished(self) -> "ContinualFolder":
        """The folder, once it is known to hold a generation.

        Raises:
            NotReadyError: none there.
        """
        _there(self.path)
        if self.generations(2).current is None:
            raise NotReadyError(f"{self.path} holds no generation. Make one with `polyrec update`.")
        return self

    def claim(self, folder: Path) -> RunConfig:
        """Make the folder this run's, or see that it is.

        Raises:
            ConfigError: it holds something else; or no finished run to begin with.
        """
        mine = self.path / "run.toml"
        if mine.exists():  # in a stranger's folder nothing is touched
            self._tidy()
        if folder.resolve() == self.path.resolve():
            return self.finished().config()
        if (folder / "generations").is_dir():
            raise ConfigError(
                f"{folder} holds generations of its own, with which --out {self.path} has nothing to do. "
                "Leave --out away to go on with them, or copy the folder and go on with the copy."
            )
        text = to_toml(RunConfig.load(RunFolder(folder).finished().run).to_dict())
        if mine.exists():
            if mine.read_text(encoding="utf-8") != text:
                raise ConfigError(f"--out {self.path} goes on with another run than {folder}. Name another folder.")
        elif any(one for one in self.path.iterdir() if not one.match(".run.toml*.tmp")):
            raise ConfigError(f"--out {self.path} is not empty: nothing is overwritten. Name another folder.")
        else:
            write_text(mine, text)
        return RunConfig.load(mine)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process from writing to the folder meanwhile."""
        with RunFolder(self.path).held():
            yield

    def tell(self, kind: str, **values: Any) -> None:
        """Add an event."""
        Events(self.events).add(kind, **values)

    def refresh(self, state: State) -> None:
        """Make history, page and link those of the generation that stands."""
        current = self.generations(2).current
        assert current is not None
        write_text(self.history, (current / "history.jsonl").read_text(encoding="utf-8"))
        write_text(self.page, render_history(state.history, read(self.events), state.run.recipe))
        link = self.path / ".bundle.tmp"
        link.unlink(missing_ok=True)
        link.symlink_to(Path("generations") / current.name / "bundle")
        link.replace(self.bundle)

    def _tidy(self) -> None:
        """What killed attempts left half-written."""
        for one in [*self.path.glob("**/.*.tmp"), *self.path.glob("**/.*.old")]:
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one, ignore_errors=True)
            else:
                one.unlink(missing_ok=True)


def _there(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise NotReadyError(f"{folder} {what}. Name a folder that `polyrec fit` or `polyrec update` wrote.")
