"""Columns that are more than one number or name a row: sequences, vectors, scenarios, labels."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.keys import KeyKind, Keys, cast, is_text, read_keys
from polyrec.data.numbers import read_floats, usable
from polyrec.errors import DataError


def read_lists(column: pa.Array, where: str, kind_of_ids: KeyKind | None = None) -> tuple[pa.Array, np.ndarray]:
    """A chunk of lists as all their values, [V], and the length of each row's list, [B]; null is empty.

    Text is taken as values with `|` or blanks between them, as CSV files hold them: as integers where the ids are.

    Raises:
        DataError: neither lists nor text, or text that is no integer among ids that are.

    Example:
        >>> values, lengths = read_lists(pa.array(["a|b", None, "", "c d"]), "feature 'seen'")
        >>> values.to_pylist(), lengths.tolist()
        (['a', 'b', 'c', 'd'], [2, 0, 0, 2])
        >>> read_lists(pa.array(["7|-2"]), "feature 'seen'", "integer")[0].to_pylist()
        [7, -2]
    """
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(0), np.zeros(len(column), np.int64)
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if is_text(kind):
        column = pc.split_pattern_regex(cast(column, pa.string(), where), r"[|\s]+")
        values, lengths = _without_blanks(column)
        return (_integers(values, where) if kind_of_ids == "integer" else values), lengths
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise DataError(f"{where} has type {kind}, expected lists. Store a list a row, or text like a|b|c.")
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return column.flatten(), lengths


def _integers(values: pa.Array, where: str) -> pa.Array:
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid as reason:
        raise DataError(
            f"{where} has a list, written as text, with a value that is no integer ({reason}); its ids are "
            "integers. Mend the value, or write the ids as text everywhere."
        ) from reason


def _without_blanks(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    values = column.flatten()
    rows = pc.list_parent_indices(column)
    real = pc.not_equal(values, "")
    rows = rows.filter(real).to_numpy(zero_copy_only=False)
    return values.filter(real), np.bincount(rows, minlength=len(column)).astype(np.int64)


def last(values: np.ndarray, lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row's last `most` values, and how many those are.

    Example:
        >>> values, lengths = last(np.array([1, 2, 3, 4]), np.array([3, 0, 1]), 2)
        >>> values.tolist(), lengths.tolist()
        ([2, 3, 4], [2, 0, 1])
    """
    if not len(lengths) or int(lengths.max()) <= most:
        return values, lengths
    kept = np.minimum(lengths, most)
    ends = np.cumsum(kept)
    shift = (np.cumsum(lengths) - kept) - (ends - kept)
    return values[np.arange(int(ends[-1])) + np.repeat(shift, kept)], kept


def read_vectors(column: pa.Array, size: int, where: str) -> np.ndarray:
    """A chunk of vectors as float32 [B, size]; a null vector, a null number, NaN and infinities are 0.

    Raises:
        DataError: a vector of another length, or something that is no vector of numbers.
    """
    values, lengths = read_lists(column, where)
    if is_text(values.type):
        values = cast(values, pa.float64(), where)
    there = lengths > 0
    wrong = np.flatnonzero(there & (lengths != size))
    if len(wrong):
        raise DataError(
            f"{where} has a vector of {lengths[wrong[0]]} numbers; the schema says size = {size}. Mend one."
        )
    found = read_floats(values, where)
    found[~usable(found)] = 0.0
    whole = np.zeros((len(column), size), np.float32)
    whole[there] = found.reshape(-1, size)
    return whole


def read_scenarios(column: pa.Array, where: str) -> Keys:
    """A chunk of scenario names as texts; integers and booleans by their digits and words.

    Raises:
        DataError: the column names nothing.
    """
    if not is_text(column.type) and not pa.types.is_nested(column.type):
        coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        if pa.types.is_floating(coded.dictionary.type):
            coded = pa.DictionaryArray.from_arrays(coded.indices, cast(coded.dictionary, pa.int64(), where))
        kind = coded.dictionary.type
        if pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            column = pa.DictionaryArray.from_arrays(coded.indices, coded.dictionary.cast(pa.string()))
    return read_keys(column, where)


def read_labels(column: pa.Array, where: str) -> tuple[np.ndarray, np.ndarray]:
    """A chunk of labels as 0 and 1, float32 [B], and whether each was observed: null and NaN were not.

    Raises:
        DataError: a value other than 0, 1, true and false.

    Example:
        >>> labels, observed = read_labels(pa.array([1, None, 0]), "label 'click'")
        >>> labels.tolist(), observed.tolist()
        ([1.0, 0.0, 0.0], [True, False, True])
    """
    if is_text(column.type) or is_text(getattr(column.type, "value_type", pa.null())):
        if column.null_count < len(column):
            raise DataError(f"{where} has type text, expected 0 and 1. Convert the column.")
        column = pa.nulls(len(column))
    if pa.types.is_integer(column.type) and not column.null_count:
        values = column.to_numpy()
        odd = (values != 0) & (values != 1)
        observed = np.ones(len(values), bool)
    else:
        values = read_floats(column, where)
        observed = ~np.isnan(values)
        values[~observed] = 0.0
        odd = (values != 0.0) & (values != 1.0)
    if odd.any():
        raise DataError(
            f"{where} has value {values[odd][0].item()}; a label is 0, 1 or null (not observed). "
            "Make it binary, for example value > 0."
        )
    return values.astype(np.float32), observed
