"""A retriever in a folder: vectors, faiss's own file where there is one, and a manifest with their hashes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polyrec.artifact.manifest import digests
from polyrec.declare import parse
from polyrec.errors import BundleError
from polyrec.retrieval.approximate import AnnOptions, Approximate
from polyrec.retrieval.exact import Exact
from polyrec.retrieval.hits import Retriever
from polyrec.shapes import Tensor

FORMAT = 1
MANIFEST, VECTORS, FAISS = "retriever.json", "vectors.safetensors", "items.faiss"


def write(retriever: Retriever, folder: Path) -> None:
    """Write a retriever into a new folder; nothing in it is pickled.

    Raises:
        BundleError: a retriever of a kind that has no format.
    """
    if not isinstance(retriever, (Exact, Approximate)):
        raise BundleError(f"a {type(retriever).__name__} cannot be saved. Known: Exact, Approximate.")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"vectors": retriever.vectors}, folder / VECTORS)
    options = None
    if isinstance(retriever, Approximate):
        retriever.write(folder / FAISS)
        options = asdict(retriever.options)
    told = {
        "format": FORMAT,
        "items": len(retriever),
        "width": retriever.width,
        "measure": "inner product",
        "ann": options,
        "files": digests(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def read(folder: Path, *, verify: bool = True) -> Retriever:
    """The retriever that `write` wrote, its vectors memory-mapped.

    Args:
        folder: where it lies.
        verify: compare every file with its hash, which reads all of it once.

    Raises:
        BundleError: a file is missing or was changed, or the format is another.
    """
    told = manifest(folder, MANIFEST)
    if verify:
        check(folder, told["files"], MANIFEST)
    vectors = _mapped(folder / VECTORS)
    if list(vectors.shape) != [told["items"], told["width"]]:
        raise BundleError(f"{folder / VECTORS} holds {list(vectors.shape)} numbers; {MANIFEST} says otherwise.")
    if told["ann"] is None:
        return Exact(vectors)
    options = parse(AnnOptions, told["ann"], str(folder / MANIFEST), BundleError)
    return Approximate.read(folder / FAISS, vectors, options)


def manifest(folder: Path, name: str) -> dict[str, Any]:
    """A JSON manifest of this format.

    Raises:
        BundleError: none there, damaged, or of another format.
    """
    path = folder / name
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as reason:
        raise BundleError(f"{path} is no index: {reason}. Build it with `polyrec index`.") from reason
    found = told.get("format") if isinstance(told, dict) else told
    if found != FORMAT:
        raise BundleError(f"{path} has format {found!r}; this polyrec reads {FORMAT}. Build the index again.")
    assert isinstance(told, dict)
    return told


def check(folder: Path, files: dict[str, str], besides: str) -> None:
    """Compare each file with its hash."""
    found = digests(folder)
    for name, expected in files.items():
        if name != besides and found.get(name) != expected:
            what = "is missing" if name not in found else "differs from what was written"
            raise BundleError(f"{folder / name} {what}. Build the index again with `polyrec index`.")


def _mapped(path: Path) -> Tensor:
    try:
        with safe_open(path, "pt") as file:
            found: Tensor = file.get_tensor("vectors")
            return found
    except (OSError, SafetensorError) as reason:
        raise BundleError(f"{path} is damaged: {reason}. Build the index again with `polyrec index`.") from reason
