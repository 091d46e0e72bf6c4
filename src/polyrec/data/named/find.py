"""The files of a data set in a folder: what is there, what is missing, what differs from what was published."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from polyrec.data.named.dataset import DataSet, RawFile
from polyrec.errors import DataError, together

_CHUNK = 2**22


def find(dataset: DataSet, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The files by name, and in words how they differ from those published.

    A file is sought in the folder, else in the folders below it. Checksums are counted only for files that have a
    published one.

    Raises:
        DataError: the folder or one of the files is missing; the message says where to get them.
    """
    if not folder.is_dir():
        raise DataError(f"--from {folder} is not a folder. {obtain(dataset)}")
    found = {file.name: _sought(folder, file) for file in dataset.files}
    begun = {one.whole for one in dataset.files if one.whole and found[one.name]}
    lacking = [f"{one.name} ({one.what})" for one in dataset.files if _needed(one, begun) and not found[one.name]]
    lacking += _no_set(dataset, begun)
    for group in dict.fromkeys(one.either for one in dataset.files if one.either):
        either = [one for one in dataset.files if one.either == group]
        if not any(found[one.name] for one in either):
            lacking.append(" or ".join(f"{one.name} ({one.what})" for one in either))
    if lacking:
        raise DataError(together(lacking, f"{folder} lacks files of {dataset.title}") + f"\n{obtain(dataset)}")
    for path in (path for paths in found.values() for path in paths):
        if not path.stat().st_size:
            raise DataError(f"{path} is empty. {obtain(dataset)}")
    differences = [words for one in dataset.files for path in found[one.name] for words in _differences(one, path)]
    return {path.name: path for paths in found.values() for path in paths}, differences


def _needed(file: RawFile, begun: set[str]) -> bool:
    return file.whole in begun if file.whole else not file.optional and not file.either


def _no_set(dataset: DataSet, begun: set[str]) -> list[str]:
    """One whole set in words, where there are sets and none is begun."""
    sets = list(dict.fromkeys(one.whole for one in dataset.files if one.whole))
    if begun or not sets:
        return []
    names = [one.name for one in dataset.files if one.whole == sets[0]]
    return [f"{', '.join(names)} (all of {sets[0]}; or as many of {', '.join(sets[1:])})"]


def obtain(dataset: DataSet) -> str:
    """Where a person gets the files, how they are unpacked, and under which terms."""
    unpack = f" {dataset.unpack}" if dataset.unpack else ""
    return f"Get it from {dataset.where}.{unpack} Terms: {dataset.terms}."


def _sought(folder: Path, file: RawFile) -> list[Path]:
    for paths in (folder.glob(file.name), folder.rglob(file.name)):
        found = sorted(path for path in paths if path.is_file())
        if len({path.name for path in found}) < len(found):
            raise DataError(
                f"{file.name} is in several folders below {folder}: {', '.join(str(path) for path in found[:4])}. "
                "Name the folder of one of them with --from."
            )
        if found:
            return found
    return []


def _differences(file: RawFile, path: Path) -> Iterator[str]:
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        yield f"{file.name} has {size:,} bytes; the published one has {file.bytes:,}"
    if file.md5 is not None and (mine := md5(path)) != file.md5:
        yield f"{file.name} has the MD5 {mine}; the published one has {file.md5}"


def md5(path: Path) -> str:
    """The MD5 of a file, as publishers give it."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
