"""The folder of scores that several machines write: which parts are complete, and what they belong to."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.atomic import write_text
from polyrec.cluster.parts import Part
from polyrec.errors import ConfigError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Output:
    """A folder with a file a part. A file that has its name is complete: it was written elsewhere and then renamed.

    So a part that is scored twice, by a worker that was thought dead and another one, leaves one file; both wrote the
    same rows.
    """

    path: Path

    @property
    def plan(self) -> Path:
        """What is scored by what; written first."""
        return self.path / "plan.json"

    @property
    def manifest(self) -> Path:
        """The parts with their rows; its presence says that all of them are there."""
        return self.path / "manifest.json"

    def claim(self, plan: Mapping[str, Any]) -> None:
        """Make the folder this work's, or see that it is.

        Raises:
            ConfigError: it is a file, or holds something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"--out {self.path} is a file. With --ray scores go into a folder: name another one.")
        if self.plan.exists():
            before = json.loads(self.plan.read_text(encoding="utf-8"))
            changed = sorted(key for key in {*before, *plan} if before.get(key) != plan.get(key))
            if changed and not self.parts():
                write_text(self.plan, json.dumps(plan, indent=1) + "\n")  # files that were mended before any was scored
            elif changed:
                raise ConfigError(
                    f"--out {self.path} holds scores of something else: {', '.join(changed)} differ. "
                    "Name another folder, or go on with the same bundle and files."
                )
        elif self.path.exists() and any(self.path.iterdir()):
            raise ConfigError(f"--out {self.path} is not empty: nothing is overwritten. Name another folder.")
        else:
            write_text(self.plan, json.dumps(plan, indent=1) + "\n")

    @contextmanager
    def claimed(self, plan: Mapping[str, Any]) -> Iterator[None]:
        """The folder is this work's; where it fails before any part is complete, nothing is left of it.

        Raises:
            ConfigError: see `claim`.
        """
        new = not self.path.exists()
        self.claim(plan)
        try:
            yield
        except BaseException:
            self.leave(new)
            raise

    def complete(self, part: Part) -> int | None:
        """The rows of a part that is complete; None where it is not."""
        try:
            return int(pq.read_metadata(self.path / part.file).num_rows)
        except (OSError, pa.ArrowInvalid):
            return None

    @contextmanager
    def writing(self, part: Part) -> Iterator[Path]:
        """A path of one's own, which becomes the part's file when the block ends well."""
        draft = self._drafts / f"{uuid4().hex}.parquet"  # processes of two machines may have one number
        draft.parent.mkdir(exist_ok=True)
        try:
            yield draft
            draft.replace(self.path / part.file)
            handle = os.open(self.path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        finally:
            draft.unlink(missing_ok=True)

    def finish(self, plan: Mapping[str, Any], found: Sequence[tuple[Part, int]]) -> None:
        """Say that every part is there."""
        shutil.rmtree(self._drafts, ignore_errors=True)
        told = [
            {
                "file": one.file,
                "rows": rows,
                "from": one.path,
                "row_groups": None if one.first < 0 else [one.first, one.last],
            }
            for one, rows in found
            if rows
        ]
        whole = {"format": FORMAT, "bundle": plan["bundle"], "rows": sum(rows for _, rows in found), "parts": told}
        write_text(self.manifest, json.dumps(whole, indent=1) + "\n")

    def parts(self) -> int:
        """How many are complete."""
        return sum(1 for _ in self.path.glob("part-*.parquet"))

    def leave(self, new: bool) -> None:
        """Keep what going on needs; where no part is complete that is nothing.

        Args:
            new: whether the folder itself was made for this.
        """
        shutil.rmtree(self._drafts, ignore_errors=True)
        if not self.parts() and not self.manifest.exists():
            self.plan.unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it, or it is not there
                if new:
                    self.path.rmdir()

    @property
    def _drafts(self) -> Path:
        return self.path / ".unfinished"
