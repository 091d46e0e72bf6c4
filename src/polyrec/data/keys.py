"""Columns of discrete values, whatever their storage: integers or texts, and which row has which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.errors import DataError

KeyKind = Literal["integer", "text"]
_WORDS: dict[KeyKind, str] = {"integer": "integers", "text": "text"}
KeyValues: TypeAlias = np.ndarray | pa.LargeStringArray  # pyarrow has no types: Any to a checker


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Values, and for each row the place of its value: a text is held once however often it occurs.

    `values`: integers of any width, or a LargeStringArray; what stands under a null means nothing.
    `codes`: for each row the place of its value, -1 for null; None where row b has value b.
    `nulls`: which values are null; None where none is.
    """

    kind: KeyKind | None  # None: nothing but nulls, of no type
    values: KeyValues
    codes: np.ndarray | None = None
    nulls: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values) if self.codes is None else len(self.codes)

    def integers(self) -> np.ndarray:
        """The values as int64 of their own, for integers."""
        return np.array(self.values, np.int64)

    def spread(self, answers: np.ndarray, null: int | np.generic) -> np.ndarray:
        """From one answer a value to one a row, `null` where the row has none. May write into `answers`."""
        if self.nulls is not None:
            answers[self.nulls] = null
        if self.codes is None:
            return answers
        return np.append(answers, np.asarray(null, answers.dtype)).take(self.codes)  # place -1 is the last


def read_keys(column: pa.Array, where: str) -> Keys:
    """The discrete values of a column: integers, booleans, whole floats or texts, plain or as a dictionary.

    Args:
        column: one chunk.
        where: how a message calls it, for example `feature 'age'`.

    Raises:
        DataError: a type that names nothing (a date, a list), a fraction, or an integer beyond 64 bits.

    Example:
        >>> keys = read_keys(pa.array(["b", None, "a", "b"]), "feature 'tab'")
        >>> keys.kind, keys.values.to_pylist(), keys.codes.tolist()
        ('text', ['b', 'a'], [0, -1, 1, 0])
    """
    if is_text(column.type):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        kind, values, nulls = _read(column, where)
        return Keys(kind, values, None, nulls)
    places, words = column.indices, column.dictionary
    if pa.types.is_unsigned_integer(places.type):  # as polars makes them; -1 has to fit
        places = places.cast(pa.int64())
    codes = as_numpy(places, -1)
    if len(words) > len(codes):  # a block of a row group whose dictionary is larger than the block
        codes, words = _compact(codes, words)
    kind, values, nulls = _read(words, where)
    return Keys(kind, values, codes, nulls)


def _compact(codes: np.ndarray, words: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Codes into those values alone that occur."""
    used = np.zeros(len(words) + 1, bool)
    used[codes] = True  # place -1 is the last
    used[-1] = False
    new = np.append(np.cumsum(used[:-1]) - 1, -1)
    return new[codes], words.take(pa.array(np.flatnonzero(used)))


def _read(column: pa.Array, where: str) -> tuple[KeyKind | None, KeyValues, np.ndarray | None]:
    nulls = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    kind = column.type
    if pa.types.is_null(kind):
        return None, np.zeros(len(column), np.int64), nulls
    if is_text(kind):
        return "text", cast(column, pa.large_string(), where), nulls
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_floating(kind):
        not_numbers = pc.is_nan(column)
        _check_exact(column, where)
        column = cast(pc.if_else(not_numbers, None, column), pa.int64(), where)
        nulls = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    elif pa.types.is_uint64(kind):
        column = cast(column, pa.int64(), where)
    elif not pa.types.is_integer(kind):
        raise DataError(
            f"{where} has type {kind}: ids are integers, texts or booleans. Convert the column, or leave it out."
        )
    return "integer", as_numpy(column, 0), nulls


def _check_exact(column: pa.Array, where: str) -> None:
    """Refuse floats so large that neighbouring integers are one number: ids may have been merged already."""
    bound = float(2 ** {16: 11, 32: 24, 64: 53}[column.type.bit_width])
    largest = pc.max(pc.abs(column)).as_py() if column.type.bit_width > 16 else None
    if largest is not None and np.isfinite(largest) and largest >= bound:
        raise DataError(
            f"{where} has {largest:.0f} in a column of type {column.type}, which cannot tell integers from {bound:.0f} "
            "on apart: ids may have been merged already. Store them as int64 or as text."
        )


def nothing(kind: KeyKind | None) -> KeyValues:
    """No values of a kind."""
    return pa.array([], pa.large_string()) if kind == "text" else np.zeros(0, np.int64)


def cast(column: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    """The column as another type, nothing lost.

    Raises:
        DataError: a value does not fit; the message has it.
    """
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as reason:
        remedy = " Write ids of 2^63 and above as text." if pa.types.is_uint64(column.type) else ""
        raise DataError(f"{where} has type {column.type}, not all of it fits {kind}: {reason}.{remedy}") from reason


def same_kind(found: KeyKind | None, expected: KeyKind, where: str) -> None:
    """Refuse texts where integers are known, and integers where texts are."""
    if found not in (None, expected):
        raise DataError(
            f"{where} holds {_WORDS[found]}; the training rows hold {_WORDS[expected]}. "
            f"Convert the column to {_WORDS[expected]}."
        )


def as_numpy(column: pa.Array, null: int) -> np.ndarray:
    """Numbers without a copy where there is no null; else `null` in its place."""
    values: np.ndarray = (column.fill_null(null) if column.null_count else column).to_numpy(zero_copy_only=False)
    return values


def is_text(kind: pa.DataType) -> bool:
    """Whether values of this type are texts, or bytes that may hold them.

    Example:
        >>> is_text(pa.large_string()), is_text(pa.int64())
        (True, False)
    """
    types = pa.types
    checks = (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    return any(check(kind) for check in checks)


def streamed(columns: Sequence[str], schema: pa.Schema) -> pa.Schema:
    """Columns as rows come from files of any kind: texts as dictionaries, so that equal ones are looked up once.

    Example:
        >>> streamed(["tab"], pa.schema({"day": pa.int64(), "tab": pa.large_string()})).types
        [DictionaryType(dictionary<values=string, indices=int32, ordered=0>)]
    """
    return pa.schema([_streamed(schema.field(name)) for name in columns])


def _streamed(field: pa.Field) -> pa.Field:
    if not is_text(field.type):
        return pa.field(field.name, field.type)
    raw = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    return pa.field(field.name, pa.dictionary(pa.int32(), pa.binary() if raw else pa.string()))
