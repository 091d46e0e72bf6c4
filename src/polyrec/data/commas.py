"""CSV files: the types of their columns, and their rows as a stream."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from polyrec.data.keys import streamed
from polyrec.data.places import Address, Place, opened
from polyrec.errors import DataError

_BYTES = 2**23  # read at a time
_NULLS = ["", "null", "NULL", "NaN", "nan"]  # not NA: it is a country


def is_csv(path: Place) -> bool:
    """Whether a file is read as CSV: by its name; everything else is parquet."""
    return path.suffix.lower() in (".csv", ".tsv")


def csv_schema(path: Place, texts: Collection[str]) -> pa.Schema:
    """The columns of a CSV file, with types by its first 8 MB; `007`, and what `texts` names, is text.

    A column without values so far may hold any: its type is null.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or no CSV.
        OSError: of an address: its system fails.
    """
    try:
        with opened(path) as file, csv.open_csv(file, _options(), _parsing(path), _converting({}, ())) as reader:
            _refuse_one_wide(path, reader.schema.names)
            kinds = {one.name: _csv_type(one, path) for one in reader.schema}
            names = reader.schema.names
        numbers = [name for name, kind in kinds.items() if pa.types.is_integer(kind) and name not in texts]
        kinds |= dict.fromkeys([*_padded(path, numbers), *(name for name in texts if name in kinds)], pa.string())
        return pa.schema([(name, kinds[name]) for name in names])
    except pa.ArrowInvalid as reason:
        raise _not_csv(path, reason) from reason
    except OSError as reason:
        if isinstance(path, Address):
            raise
        if isinstance(reason, FileNotFoundError):
            raise DataError(f"{path} does not exist. Check the path.") from reason
        raise _not_csv(path, reason) from reason


def read_csv(path: Place, columns: Sequence[str], schema: pa.Schema) -> Iterator[pa.Table]:
    """Some columns of a CSV file, a block at a time, as `streamed`; of a nested type, which CSV has not, only blanks.

    Raises:
        DataError: a value is not of its column's type, or the file is not UTF-8.
        OSError: of an address: its system fails.
    """
    wanted = streamed(columns, schema)
    kinds = {one.name: pa.null() if pa.types.is_nested(one.type) else one.type for one in wanted}
    try:
        with (
            opened(path) as file,
            csv.open_csv(file, _options(), _parsing(path), _converting(kinds, columns)) as reader,
        ):
            for batch in reader:
                yield pa.Table.from_batches([batch]).cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as reason:
        raise _not_csv(path, reason) from reason
    except OSError as reason:
        if isinstance(path, Address):
            raise
        raise _not_csv(path, reason) from reason


def _refuse_one_wide(path: Place, names: Sequence[str]) -> None:
    """A file whose values are parted by another sign would be one column of all of them."""
    sign = next((sign for sign in ";\t|" if len(names) == 1 and sign in names[0]), None)
    if sign is not None:
        raise DataError(
            f"{path} would be one column, {names[0][:60]!r}: its values seem to be parted by {sign!r}. "
            "Part them by commas (.csv) or tabs (.tsv), or store the rows as parquet."
        )


def _padded(path: Place, names: Sequence[str]) -> list[str]:
    """Columns of whole numbers that are ids of a fixed width: the first rows have a value like 007."""
    if not names:
        return []
    kinds = dict.fromkeys(names, pa.string())
    with opened(path) as file, csv.open_csv(file, _options(), _parsing(path), _converting(kinds, names)) as reader:
        first = next(iter(reader), None)
    if first is None:
        return []
    return [name for name in names if pc.any(pc.match_substring_regex(first[name], r"^[-+]?0\d")).as_py()]


def _csv_type(field: pa.Field, path: Place) -> pa.DataType:
    if pa.types.is_binary(field.type):  # what the reader makes of text that is not UTF-8
        raise _not_csv(path, ValueError(f"not UTF-8 in column {field.name!r}"))
    return field.type


def _converting(kinds: Mapping[str, pa.DataType], columns: Sequence[str]) -> csv.ConvertOptions:
    return csv.ConvertOptions(
        column_types=kinds, include_columns=list(columns), strings_can_be_null=True, null_values=_NULLS
    )


def _options() -> csv.ReadOptions:
    return csv.ReadOptions(block_size=_BYTES)


def _parsing(path: Place) -> csv.ParseOptions:
    return csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")


def _not_csv(path: Place, reason: Exception) -> DataError:
    words = first_line(reason)
    if "UTF8" in words or "UTF-8" in words:
        return DataError(f"{path} is not UTF-8 ({words}). Convert it, for example with iconv -f latin1 -t utf-8.")
    if "Empty CSV" in words:
        return DataError(f"{path} is empty. Write the file again, with a line of column names.")
    return DataError(f"{path} cannot be read as CSV: {words}. Mend the value, or store the rows as parquet.")


def first_line(reason: Exception) -> str:
    """What an error says, without the dot."""
    return str(reason).splitlines()[0].rstrip(".") if str(reason) else type(reason).__name__
