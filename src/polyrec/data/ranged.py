"""An fsspec file system as pyarrow reads it: by ranges, with what tells a file's versions apart."""

from datetime import datetime
from hashlib import blake2b
from typing import Any

import pyarrow as pa
from pyarrow import fs

_CHANGED = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")  # the first there is


class Ranged(fs.FSSpecHandler):  # type: ignore[misc]
    r"""Only what is asked for is read, and listings are always new.

    Example:
        >>> import fsspec
        >>> fsspec.filesystem("memory").pipe("/ranged.csv", b"x\n1\n")
        >>> fs.PyFileSystem(Ranged(fsspec.filesystem("memory"))).get_file_info(["/ranged.csv"])[0].size
        4
    """

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        """Kind, size and version of each, as they are now."""
        self.fs.invalidate_cache()
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        """What lies in a folder, not below it; nothing where there is none."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(selector.base_dir, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        here = selector.base_dir.strip("/")
        return [_told(one) for one in found if one["name"].strip("/") != here]

    def open_input_file(self, path: str) -> pa.PythonFile:
        """A file that is not read ahead: pyarrow asks for whole ranges."""
        return pa.PythonFile(self.fs.open(path, "rb", cache_type="none"), mode="r")

    def _info(self, path: str) -> fs.FileInfo:
        try:
            return _told(self.fs.info(path))
        except FileNotFoundError:
            return fs.FileInfo(path, fs.FileType.NotFound)


def _told(info: dict[str, Any]) -> fs.FileInfo:
    kinds = {"file": fs.FileType.File, "directory": fs.FileType.Directory}
    kind = kinds.get(info["type"], fs.FileType.Unknown)
    version = next((info[key] for key in _CHANGED if info.get(key) is not None), None)
    name = info["name"].rstrip("/") or "/"
    return fs.FileInfo(name, kind, size=info.get("size"), mtime_ns=None if version is None else _number(version))


def _number(version: Any) -> int:
    """Where pyarrow has a time: it only tells versions apart."""
    version = version.timestamp() if isinstance(version, datetime) else version  # a listing may have either
    return int.from_bytes(blake2b(str(version).encode(), digest_size=7).digest(), "little")
