"""What goes over the wire: requests that are checked against the schema when they are decoded, and answers."""

from collections.abc import Sequence
from types import GenericAlias
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct

from polyrec.schema import Feature, Schema
from polyrec.serving.refusal import Refusal

Scalar: TypeAlias = bool | int | float | str | None
Number: TypeAlias = bool | int | float | None
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
_KINDS: dict[str, Any] = {
    "categorical": Scalar,
    "numeric": Number,
    "sequence": str | list[Scalar] | None,
    "vector": str | list[Number] | None,
}


class ScoreResponse(Struct):
    """A probability for each target of each row, in their order, and the model that gave them."""

    scores: list[dict[str, float]]
    model: str


class Recommended(Struct):
    """One item: its key, its weighted sum, and its probabilities."""

    item: Scalar
    score: float
    probabilities: dict[str, float]


class RecommendResponse(Struct):
    """The best items, best first, out of so many candidates that `retrieval` found."""

    items: list[Recommended]
    candidates: int
    retrieval: str
    model: str


class Mixture(Struct):
    """How much of each expert a head takes."""

    gate: str
    head: str
    shares: list[float]


class Factors(Struct):
    """What a personalised gate multiplies a layer's numbers by: mean, least and largest."""

    gate: str
    mean: float
    low: float
    high: float


class Flow(Struct):
    """A way through the network, and whether the row takes it."""

    head: str
    flow: str
    kept: bool


class ExplainResponse(Struct):
    """What stood behind the probabilities of one row."""

    probabilities: dict[str, float]
    mixtures: list[Mixture]
    factors: list[Factors]
    flows: list[Flow]
    model: str


class ReloadRequest(Struct, forbid_unknown_fields=True):
    """A bundle's path under the serving root."""

    bundle: Name


class ReloadResponse(Struct):
    """What serves now, and what served before."""

    model: str
    before: str


class Problem(Struct):
    """Why a request was refused."""

    error: str


class Wire:
    """Requests of one schema: each feature is a field of its own type, so that a mistake is told by its name.

    Args:
        schema: whose features a row has.
        extra: other features that a row may have, for who retrieves candidates.

    Attributes:
        names: columns of a row, in the order of a row's values.
        score: the type of a body of /score.
        explain: the type of a body of /explain.
        recommend: the type of a body of /recommend.
        scores: makes one row's scores from its probabilities, in the order of the targets.

    Example:
        >>> from polyrec.schema import Feature, Keys, Task
        >>> schema = Schema(Keys("tab"), (Feature("price", "numeric"),), (Task("click", "c"),))
        >>> wire = Wire(schema)
        >>> wire.columns(decode(b'{"rows": [{"tab": "home", "price": 2.5}, {"tab": "home"}]}', wire.score).rows)
        {'tab': ['home', 'home'], 'price': [2.5, None]}
        >>> decode(b'{"rows": [{"tab": "home", "price": "dear"}]}', wire.score)
        Traceback (most recent call last):
        polyrec.serving.refusal.Refusal: (422, 'rows[0].price: Expected `bool | int | float | null`, got `str`')
    """

    def __init__(self, schema: Schema, extra: Sequence[Feature] = ()) -> None:
        self.schema = schema
        kinds: dict[str, Any] = {schema.keys.scenario: Scalar}
        kinds |= {} if schema.keys.item is None else {schema.keys.item: Scalar}
        kinds |= {one.name: _KINDS[one.kind] for one in (*extra, *schema.features)}
        self.names = tuple(kinds)
        self._places = {name: f"f{place}" for place, name in enumerate(self.names)}
        row = self._row("Row", kinds, None)
        item = self._row("Item", kinds, UNSET)
        rows, items, weights = GenericAlias(list, (row,)), GenericAlias(list, (item,)), dict[str, float]
        self.score = msgspec.defstruct("ScoreRequest", [("rows", rows)], forbid_unknown_fields=True)
        targets = {f"f{place}": target.name for place, target in enumerate(schema.targets)}
        self.scores = msgspec.defstruct("Scores", [(one, float) for one in targets], rename=targets, gc=False)
        place: Any = ("item", Scalar, None)  # of the server's catalogue
        self.explain = msgspec.defstruct("ExplainRequest", [("row", row), place], forbid_unknown_fields=True)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("user", item),
            ("scenario", Annotated[str, Meta(max_length=1024)]),  # an empty name is one, too
            ("k", Annotated[int, Meta(ge=1, le=1000)], 20),
            ("objective", weights, msgspec.field(default_factory=dict)),
            ("items", items | None, None),
        ]
        self.recommend = msgspec.defstruct("RecommendRequest", fields, forbid_unknown_fields=True)

    def _row(self, name: str, kinds: dict[str, Any], missing: Any) -> Any:
        absent: Any = None if missing is None else msgspec.UnsetType
        fields = [(self._places[one], kind | absent, missing) for one, kind in kinds.items()]
        names = {place: one for one, place in self._places.items()}
        return msgspec.defstruct(name, fields, rename=names, gc=False)  # rows hold no cycle: nothing to look for

    def columns(self, rows: Sequence[Any]) -> dict[str, list[Any]]:
        """Rows of a body of /score as one list a column."""
        if not rows:
            return {name: [] for name in self.names}
        return dict(zip(self.names, map(list, zip(*map(msgspec.structs.astuple, rows), strict=True)), strict=True))

    def beside(self, user: Any, items: Sequence[Any], scenario: str) -> dict[str, list[Any]]:
        """Columns of one row for each item: what the item gives, else what the user gives."""
        columns = {}
        for name, place in self._places.items():
            given = getattr(user, place)
            given = None if given is UNSET else given
            found = [getattr(item, place) for item in items]
            columns[name] = [given if one is UNSET else one for one in found]
        return columns | {self.schema.keys.scenario: [scenario] * len(items)}

    def keys(self, items: Sequence[Any]) -> list[Scalar]:
        """The items' keys; their places where the schema names no item key."""
        if self.schema.keys.item is None:
            return list(range(len(items)))
        found = [getattr(item, self._places[self.schema.keys.item]) for item in items]
        return [None if one is UNSET else one for one in found]


def decode(body: bytes, kind: Any) -> Any:
    """A request from its JSON.

    Raises:
        Refusal: 400 for what is no JSON, 422 for JSON of another shape; the message has the field.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as reason:
        raise Refusal(422, _placed(str(reason))) from reason
    except (msgspec.DecodeError, RecursionError, UnicodeError) as reason:
        raise Refusal(400, f"the body is not JSON that can be read: {reason}. Send a JSON object.") from reason


def encode(answer: Any) -> bytes:
    """An answer as JSON; what JSON has no word for (a date) as text."""
    return _ENCODER.encode(answer)


_ENCODER = msgspec.json.Encoder(enc_hook=str)


def _placed(message: str) -> str:
    """Msgspec's message with the field first."""
    what, at, where = message.rpartition(" - at ")
    return f"{where.strip('`').removeprefix('$.') or 'the body'}: {what}" if at else f"the body: {message}"
