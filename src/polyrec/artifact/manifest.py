"""What a bundle says of itself, and the hashes that hold it to it."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from polyrec.declare import STRICT, parse
from polyrec.errors import BundleError

FORMAT = 2
READS = (1, 2)  # format 1 has neither program, versions nor report
NAME = "manifest.json"
REPORT = "report.json"
_NEEDED = ("schema.json", "vocabulary/vocabulary.json", "model.safetensors", "golden.parquet", "golden.json")


@dataclass(frozen=True, slots=True)
class Part:
    """A registered model or objective and the options it was built with."""

    __pydantic_config__ = STRICT
    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """The ONNX program of a bundle. `routed`: rows run through every scenario that their run holds."""

    __pydantic_config__ = STRICT
    opset: int
    routed: bool
    made_with: dict[str, str] = field(default_factory=dict)  # versions of torch, onnx and onnxruntime


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
    versions: dict[str, str] = field(default_factory=dict)  # of Python, torch and numpy when it was trained
    program: Graph | None = None

    @property
    def identity(self) -> str:
        """`recipe@` and the start of a hash over every file: two bundles that score alike share it."""
        text = json.dumps(self.files, sort_keys=True)
        return f"{self.recipe}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def seal(self, folder: Path) -> "Manifest":
        """Write it into a bundle's folder, with the hash of every file that is there; whoever serves may read all."""
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        sealed = replace(self, files=digests(folder))
        sealed.write(folder)
        return sealed

    def write(self, folder: Path) -> None:
        """Write it into a bundle's folder."""
        (folder / NAME).write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, *, check: bool = True) -> "Manifest":
        """Read and check a bundle's manifest and, if asked for, the hash of each of its files.

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
        if not isinstance(values, dict) or values.get("format") not in READS:
            raise BundleError(_unreadable(path, values))
        manifest = parse(cls, values, str(path), BundleError)
        if check:
            manifest.check(folder)
        return manifest

    def check(self, folder: Path) -> None:
        """Compare each file with its hash; no file that scoring reads may be without one."""
        for name in _NEEDED:
            if name not in self.files:
                raise BundleError(f"{folder / NAME} has no hash of {name}. Copy or export the bundle again.")
        for name, expected in self.files.items():
            path = folder / name
            if not path.is_file():
                raise BundleError(f"{path} is missing from the bundle. Copy or export it again.")
            if digest(path) != expected:
                raise BundleError(f"{path} differs from what was written. Copy or export the bundle again.")


def _unreadable(path: Path, values: object) -> str:
    found, made_by = (values.get("format"), values.get("polyrec")) if isinstance(values, dict) else (values, None)
    newer = isinstance(found, int) and found > FORMAT
    remedy = f"Update polyrec (it was written by {made_by})" if newer else "Fit or export the bundle again"
    known = " and ".join(map(str, READS))
    return f"{path} has format {found!r}; this polyrec ({version('polyrec')}) reads {known}. {remedy}."


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, the manifest aside, by relative path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): digest(path) for path in found}
