"""What is declared of a named data set: its files, where they come from, and the protocol that papers use on it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyrec.data.named.parts import Parts
from polyrec.progress import Progress
from polyrec.schema import Schema


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file as its publisher gives it out.

    `bytes` and `md5` are set only where they are publicly known. A folder without an optional file is complete; of
    the files with the same `either`, one is enough; of the sets with the same `whole`, one whole set is enough, and
    half a set is not. The name of `many` is a pattern.
    """

    name: str
    what: str
    optional: bool = False
    either: str = ""
    whole: str = ""
    many: bool = False
    bytes: int | None = None
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """What a data set is built from: the files found, by name, and who is told of progress."""

    folder: Path
    files: Mapping[str, Path]
    progress: Progress | None = None

    def __getitem__(self, name: str) -> Path:
        return self.files[name]


@dataclass(frozen=True, slots=True)
class Built:
    """The schema of the rows written, the `[data]` table of the run file, and what a person should know."""

    schema: Schema
    data: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSet:
    """One named data set.

    `scenarios`, `labels` and `split` say the protocol in words, `source` who used it. `published` has the rows of
    each scenario that `source` counted: by name, or in any order where it does not name them. `leaks` names what must
    not become a feature, or what makes figures look better than they are.
    """

    name: str
    title: str
    where: str
    terms: str
    files: tuple[RawFile, ...]
    scenarios: str
    labels: str
    split: str
    source: str
    leaks: tuple[str, ...]
    key: str  # the scenario's column
    label_columns: tuple[str, ...]
    build: Callable[[Sources, Parts], Built]
    published: Mapping[str, int] | tuple[int, ...] = ()
    unpack: str = ""  # how an archive becomes the files
