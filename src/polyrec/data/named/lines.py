"""Text files of any length as frames, block by block: memory holds one block, and a bad line is named.

For files without quotes, whose lines are rows. A block ends where a line ends. `.gz` is read as it is.
"""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from polyrec.errors import DataError
from polyrec.progress import Progress

BLOCK = 2**25  # bytes
_UNIT = b"\x1f"  # stands for a separator of more than one character
Kind = pl.DataType | type[pl.DataType]


def tables(
    path: Path,
    columns: Mapping[str, Kind],
    *,
    separator: str = ",",
    header: bool = False,
    encoding: str = "utf-8",
    null: str | None = None,
    size: int = BLOCK,
    progress: Progress | None = None,
) -> Iterator[pl.DataFrame]:
    r"""The rows of a file, in order, a block at a time.

    Args:
        path: the file, plain or `.gz`.
        columns: names and types. Without a header they are all of the file's columns in order; with one, those to keep.
        separator: between fields; may be longer than one character.
        header: whether the first line names the columns.
        encoding: utf-8 or latin-1.
        null: what stands for an unknown value, beside an empty field.
        size: bytes of a block; a longer line is read whole.
        progress: told how many bytes are read.

    Raises:
        DataError: a column is missing, or a line has too many or too few fields or a value of another kind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "ratings.dat"
        >>> _ = path.write_text("1::10::5\n2::10::3\n")
        >>> next(tables(path, {"user": pl.Int32, "movie": pl.Int32, "stars": pl.Int8}, separator="::")).rows()
        [(1, 10, 5), (2, 10, 3)]
    """
    names = list(columns)
    single = separator.encode() if len(separator) == 1 else _UNIT
    total, line = path.stat().st_size, 1
    for place, (block, done) in enumerate(blocks(path, size)):
        data = _plain(block, separator, encoding)
        if header and place == 0:
            first, _, data = data.partition(b"\n")
            names = _header(path, first.removeprefix(b"\xef\xbb\xbf").decode(), single.decode(), columns)
            line += 1
        kinds: dict[str, Kind] = {name: columns.get(name, pl.String) for name in names}
        frame = _frame(path, data, line, kinds, single, null)
        if not frame.is_empty():
            yield frame.select(list(columns))
        line += data.count(b"\n")
        if progress is not None:
            progress(f"reading {path.name}", done, total)


def _plain(block: bytes, separator: str, encoding: str) -> bytes:
    """The block as utf-8, with lines that end in one character and fields parted by one."""
    data = block if encoding == "utf-8" else block.decode(encoding).encode()
    data = data.replace(b"\r\n", b"\n") if b"\r\n" in data else data
    return data if len(separator) == 1 else data.replace(separator.encode(), _UNIT)


def blocks(path: Path, size: int = BLOCK) -> Iterator[tuple[bytes, int]]:
    """Whole lines, each block with the bytes of the file read so far.

    Raises:
        DataError: the file is cut off or cannot be read.
    """
    with path.open("rb") as raw:
        handle: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        held = b""
        try:
            while fresh := handle.read(size):
                cut = fresh.rfind(b"\n") + 1
                if not cut:
                    held += fresh
                    continue
                yield held + fresh[:cut], raw.tell()
                held = fresh[cut:]
        except (EOFError, OSError, zlib.error) as reason:
            raise DataError(f"{path} cannot be read: {reason}. It may be cut off: get it again.") from reason
        if held:
            yield held + b"\n", raw.tell()


def _header(path: Path, first: str, separator: str, columns: Mapping[str, Kind]) -> list[str]:
    found = [name.strip().strip('"') for name in first.rstrip("\r").split(separator)]
    missing = [name for name in columns if name not in found]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}. Its first line names: {', '.join(found)[:500]}. "
            "Give the file as it was published."
        )
    return found


def _frame(
    path: Path, data: bytes, line: int, kinds: Mapping[str, Kind], separator: bytes, null: str | None
) -> pl.DataFrame:
    full = data
    if b"\n\n" in data or data.startswith(b"\n"):
        full = b"".join(text + b"\n" for text in data.split(b"\n") if text)
    if full.count(separator) != full.count(b"\n") * (len(kinds) - 1):
        raise _ragged(path, data, line, list(kinds), separator)
    try:
        return _parse(full, kinds, separator, null)
    except pl.exceptions.PolarsError as reason:
        raise _misfit(path, data, line, kinds, separator, null, str(reason)) from reason


def _parse(data: bytes, kinds: Mapping[str, Kind], separator: bytes, null: str | None) -> pl.DataFrame:
    if not data:
        return pl.DataFrame(schema=dict(kinds))
    return pl.read_csv(
        io.BytesIO(data),
        has_header=False,
        schema=dict(kinds),
        separator=separator.decode(),
        quote_char=None,
        null_values=["", null] if null is not None else [""],
    )


def _ragged(path: Path, data: bytes, line: int, names: list[str], separator: bytes) -> DataError:
    for place, text in enumerate(data.split(b"\n")):
        fields = text.count(separator) + 1
        if text and fields != len(names):
            shown = text[:120].decode("utf-8", "replace").replace(_UNIT.decode(), "::")
            return DataError(
                f"{path}, line {line + place}: {fields} fields where {len(names)} are expected "
                f"({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}): {shown!r}. "
                "The file is cut off or of another form: get it again as it was published."
            )
    return DataError(f"{path}, from line {line}: fields do not fit the columns. Get it again as it was published.")


def _misfit(
    path: Path,
    data: bytes,
    line: int,
    kinds: Mapping[str, Kind],
    separator: bytes,
    null: str | None,
    reason: str,
) -> DataError:
    texts = _parse(data, dict.fromkeys(kinds, pl.String), separator, null).with_row_index("line", offset=line)
    for name, kind in kinds.items():
        wrong = texts.filter(pl.col(name).is_not_null() & pl.col(name).cast(kind, strict=False).is_null())
        if not wrong.is_empty():
            place, value = wrong.select("line", name).row(0)
            return DataError(
                f"{path}, line {place}: {name} = {value!r} is not {_word(kind)}. "
                "The file is damaged or of another form: get it again as it was published."
            )
    return DataError(f"{path}, from line {line}: {reason}. Get it again as it was published.")


def _word(kind: Kind) -> str:
    return "a whole number" if kind.is_integer() else "a number" if kind.is_numeric() else "of its kind"
