"""Some columns of a text file whose fields are quoted and may hold separators, line ends and stray quotes."""

import csv
from pathlib import Path

import polars as pl

from polyrec.errors import DataError


def quoted(path: Path, columns: dict[str, str], separator: str = "\t") -> pl.DataFrame:
    r"""The columns under their new names, all text, without blanks at the ends; what is empty is null.

    Read as Python's csv module and pandas do: a quote inside a quoted field that is not doubled belongs to the text,
    and a row may lack fields at its end. The file is read whole, of which only these columns are kept.

    Raises:
        DataError: a column is missing, a row is cut off, or the file is not utf-8 or not parted so.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "reviews.txt"
        >>> _ = path.write_text('"UID"\t"said"\n"1"\t"a \\"film\\""\n"2"\t" "\n"3"\t"two\nlines"\n')
        >>> quoted(path, {"UID": "user", "said": "text"}).rows()
        [('1', 'a \\film\\""'), ('2', None), ('3', 'two\nlines')]
    """
    picked: list[tuple[str | None, ...]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter=separator)
            there = [name.strip(' "') for name in next(rows, [])]
            missing = [name for name in columns if name not in there]
            if missing:
                raise DataError(f"{path} has no column {', '.join(missing)}. Give the file as it was published.")
            places = [there.index(name) for name in columns]
            for row in rows:
                if max(places) < len(row) <= len(there):
                    picked.append(tuple(row[place].strip() or None for place in places))
                elif row:
                    raise DataError(
                        f"{path}, line {rows.line_num}: {len(row)} fields where {len(there)} are expected. "
                        "It may be cut off: get it again."
                    )
    except (csv.Error, UnicodeDecodeError) as reason:
        raise DataError(f"{path} cannot be read: {reason}. Give the file as it was published.") from reason
    return pl.DataFrame(picked, schema=dict.fromkeys(columns.values(), pl.String), orient="row")
