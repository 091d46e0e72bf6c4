"""What encoded rows look like: the packed columns that a schema and a fitted vocabulary make."""

from polyrec.batch import Field, Layout, Number
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import BundleError, unknown
from polyrec.schema import Schema

MAX_LENGTH = 50  # of a sequence that does not say


def layout(schema: Schema, vocabulary: Vocabulary) -> Layout:
    """Names and sizes of the columns, in the order of the schema's features.

    Raises:
        BundleError: the vocabulary was fitted for another schema.

    Example:
        >>> from polyrec.schema import Feature, Keys, Task
        >>> schema = Schema(Keys("tab"), (Feature("item", "categorical"),), (Task("click", "click"),))
        >>> try:
        ...     layout(schema, Vocabulary(("home",), {}, {}, 1))
        ... except BundleError as reason:
        ...     print(reason)
        feature 'item' is not in the vocabulary. Known: none. Fit the vocabulary again with this schema.
    """
    _check_fit(schema, vocabulary)
    categorical: list[Field] = []
    sequences: list[Field] = []
    numeric: list[Number] = []
    vectors: list[Number] = []
    for one in schema.features:
        if one.kind == "numeric":
            numbers = vocabulary.numbers[one.name]
            numeric.append(Number(one.name, one.side, unit=numbers.kind == "quantile"))
            if numbers.flagged:
                numeric.append(Number(f"{one.name}?", one.side, unit=True))
        elif one.kind == "vector":
            vectors.append(Number(one.name, one.side, one.size or 1))
        else:
            size = len(vocabulary.values[one.shares or one.name])
            length = (one.max_length or MAX_LENGTH) if one.kind == "sequence" else None
            field = Field(one.name, size, one.side, one.dim, one.shares, length)
            (categorical if length is None else sequences).append(field)
    return Layout(
        vocabulary.scenarios, schema.tasks, tuple(categorical), tuple(numeric), tuple(sequences), tuple(vectors)
    )


def _check_fit(schema: Schema, vocabulary: Vocabulary) -> None:
    for one in schema.features:
        fitted = vocabulary.numbers if one.kind == "numeric" else vocabulary.values
        if one.kind != "vector" and (one.shares or one.name) not in fitted:
            raise BundleError(
                unknown("feature", one.shares or one.name, fitted, "in the vocabulary")
                + " Fit the vocabulary again with this schema."
            )
