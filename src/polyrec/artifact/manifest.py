"""What a bundle says of itself, and the hashes that hold it to it."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polyrec.declare import STRICT, parse
from polyrec.errors import BundleError

FORMAT = 1
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Part:
    """A registered model or objective and the options it was built with."""

    __pydantic_config__ = STRICT
    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a bundle that is not a tensor or a table. `files`: SHA-256 by relative path."""

    __pydantic_config__ = STRICT
    format: int
    polyrec: str
    recipe: str
    model: Part
    objective: Part
    schema_fingerprint: str
    parameters: int
    trained_on: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """`recipe@` and the start of a hash over every file: two bundles that score alike share it."""
        text = json.dumps(self.files, sort_keys=True)
        return f"{self.recipe}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def write(self, folder: Path) -> None:
        """Write it into a bundle's folder."""
        (folder / NAME).write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read and check a bundle's manifest and the hash of each of its files.

        Raises:
            BundleError: no bundle there, another format, or a file missing, changed or cut short.
        """
        path = folder / NAME
        if not path.is_file():
            raise BundleError(f"{folder} is not a bundle: it has no {NAME}. Name the bundle/ folder that fit wrote.")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as reason:
            raise BundleError(f"{path} is damaged: {reason}. Copy or export the bundle again.") from reason
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, dict) else values
            raise BundleError(f"{path} has format {found!r}; this polyrec reads {FORMAT}. Export the bundle again.")
        manifest = parse(cls, values, str(path), BundleError)
        manifest.check(folder)
        return manifest

    def check(self, folder: Path) -> None:
        """Compare each file with its hash."""
        for name, expected in self.files.items():
            path = folder / name
            if not path.is_file():
                raise BundleError(f"{path} is missing from the bundle. Copy or export it again.")
            if digest(path) != expected:
                raise BundleError(f"{path} differs from what was written. Copy or export the bundle again.")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, the manifest aside, by relative path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): digest(path) for path in found}
