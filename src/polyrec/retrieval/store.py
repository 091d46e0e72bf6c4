"""A retriever in a folder: vectors, faiss's own files where there are any, and a manifest with their hashes."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from polyrec.artifact.manifest import digests
from polyrec.declare import parse
from polyrec.errors import BundleError
from polyrec.retrieval.approximate import AnnOptions, Approximate
from polyrec.retrieval.exact import Exact
from polyrec.retrieval.hits import Retriever
from polyrec.retrieval.sharded import Sharded
from polyrec.retrieval.vectors import VectorFile
from polyrec.shapes import Tensor

FORMAT = 1
MANIFEST, VECTORS, FAISS = "retriever.json", "vectors.safetensors", "items.faiss"


def write(retriever: Retriever, folder: Path) -> None:
    """Write a retriever into a new folder; nothing in it is pickled.

    Raises:
        BundleError: a retriever of a kind that has no format, or shards of several kinds.
    """
    shards = retriever.shards if isinstance(retriever, Sharded) else (retriever,)
    known = [one for one in shards if isinstance(one, (Exact, Approximate))]
    if len(known) < len(shards):
        other = next(one for one in shards if one not in known)
        raise BundleError(f"a {type(other).__name__} cannot be saved. Known: Exact, Approximate, Sharded of them.")
    options = [one.options if isinstance(one, Approximate) else None for one in known]
    if any(one != options[0] for one in options):
        raise BundleError("shards of several kinds cannot be saved together. Build them with the same options.")
    folder.mkdir(parents=True, exist_ok=True)
    with VectorFile(folder / VECTORS, len(retriever)) as file:
        for one in known:
            file.append(one.vectors)
    for place, one in enumerate(known):
        if isinstance(one, Approximate):
            one.write(folder / _faiss(place, len(known)))
    _seal(folder, [len(one) for one in known], retriever.width, options[0])


def finish(folder: Path, shards: Sequence[int], ann: AnnOptions | None) -> None:
    """Make a retriever of a folder with nothing but its vectors; of faiss's indexes one is held at a time.

    Args:
        folder: where they lie.
        shards: how many vectors each shard has.
        ann: approximate search; exact where None.
    """
    vectors = _mapped(folder / VECTORS)
    if ann is not None:
        for place, part in enumerate(torch.split(vectors, list(shards))):
            Approximate(part, ann).write(folder / _faiss(place, len(shards)))
    _seal(folder, shards, vectors.shape[1], ann)


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
    sizes = told.get("shards", [told["items"]])
    if told["ann"] is None:
        shards: list[Retriever] = [Exact(part) for part in torch.split(vectors, sizes)]
    else:
        options = parse(AnnOptions, told["ann"], str(folder / MANIFEST), BundleError)
        shards = [
            Approximate.read(folder / _faiss(place, len(sizes)), part, options)
            for place, part in enumerate(torch.split(vectors, sizes))
        ]
    return shards[0] if len(shards) == 1 else Sharded(shards)


def _seal(folder: Path, shards: Sequence[int], width: int, ann: AnnOptions | None) -> None:
    told = {
        "format": FORMAT,
        "items": sum(shards),
        "width": width,
        "shards": list(shards),
        "measure": "inner product",
        "ann": None if ann is None else asdict(ann),
        "files": digests(folder),
    }
    (folder / MANIFEST).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _faiss(place: int, shards: int) -> str:
    return FAISS if shards == 1 else f"items-{place:03d}.faiss"


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
