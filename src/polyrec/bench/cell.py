"""A cell of the grid: one training, with its place on disk, its command and its line of results."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyrec.atomic import is_address, write_text
from polyrec.bench.process import Ended
from polyrec.bench.results import Line
from polyrec.bench.space import Settings
from polyrec.bench.versions import versions
from polyrec.config import RunConfig
from polyrec.data.files import expand
from polyrec.data.places import mark
from polyrec.declare import to_toml
from polyrec.recipes.assemble import resolve
from polyrec.recipes.folder import RunFolder

TRIAL_SEED = 1_000_003  # of every trial's training: none of the seeds that are reported

Kind = Literal["trial", "seed"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of a contender on a data set: a trial of the search, or a seed with the settings it found."""

    data: str
    contender: str
    kind: Kind
    number: int

    @property
    def key(self) -> str:
        """Its name, which is also its place.

        Example:
            >>> Cell("world", "mmoe", "seed", 3).key
            'world/mmoe/seed-3'
        """
        return f"{self.data}/{self.contender}/{self.kind}-{self.number}"

    @property
    def command(self) -> str:
        """What trains it by hand, in the suite's folder."""
        more = " --only-validate" if self.kind == "trial" else ""
        return f"polyrec fit cells/{self.key}.toml --out runs/{self.key}{more} --resume"

    def folder(self, out: Path) -> RunFolder:
        """Where it trains."""
        return RunFolder(out / "runs" / self.key)

    def write(self, out: Path, run: RunConfig) -> None:
        """Its run file, for who wants to train it by hand; what another training left in its place is taken away.

        Raises:
            ConfigError: someone trains it by hand just now.
        """
        mark, now = out / "cells" / f"{self.key}.mark", fingerprint(run)
        if not mark.exists() or mark.read_text(encoding="utf-8") != now:
            self.folder(out).empty()
            write_text(mark, now)
        write_text(out / "cells" / f"{self.key}.toml", to_toml(run.to_dict()))

    def line(self, out: Path, run: RunConfig, settings: Settings, ended: Ended) -> Line:
        """What there is to tell of it."""
        told: Line = {
            "cell": self.key,
            "data": self.data,
            "contender": self.contender,
            "kind": self.kind,
            "number": self.number,
            "recipe": run.recipe,
            "run": fingerprint(run),
            "settings": settings,
            "command": self.command,
            "versions": versions(),
        }
        if ended.error:
            return {**told, "status": "failed", "error": ended.error}
        folder = self.folder(out)
        validation = folder.validated()
        facts = {key: validation[key] for key in ("parameters", "seconds", "rows_per_second", "steps", "best_step")}
        told |= {"status": "done", "score": validation["score"], **facts, "cpu_seconds": ended.cpu_seconds}
        if self.kind == "trial":
            return told
        report = json.loads(folder.report.read_text(encoding="utf-8"))
        return {**told, "parameters": report["run"]["parameters"], "metrics": report["cells"]}


def fingerprint(run: RunConfig) -> str:
    """Of everything that a training reads: every option, and the size of each file.

    A line of results with another one is of another training, and does not count.
    """
    options = resolve(run).to_dict()
    data = options["data"]
    for key in ("schema", "log", "train", "valid", "test"):
        paths = [data[key]] if key == "schema" else data.get(key, [])
        near = sorted(one for path in paths if not is_address(path) for one in Path(path).parent.glob(Path(path).name))
        far = [one for path in paths if is_address(path) for one in expand([path])]
        data[key] = [f"{one.name} {mark(one)[0]}" for one in (*near, *far)]  # wherever the folder lies
    text = to_toml(options)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def same(line: Line | None, run: RunConfig) -> bool:
    """Whether the line is of this very training, and it went well."""
    return line is not None and line["status"] == "done" and line["run"] == fingerprint(run)
