"""The five kinds of error a user meets, and how each message is worded.

Grammar of every message: what is wrong: the value; the bound or the known names; the remedy.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class PolyrecError(Exception):
    """Anything polyrec refuses to do, with a message that says what to do instead."""


class SchemaError(PolyrecError):
    """The declaration of features, scenarios and tasks contradicts itself."""


class DataError(PolyrecError):
    """Rows do not fit their schema, or a file cannot be read."""


class ConfigError(PolyrecError):
    """An option is unknown or out of its bounds."""


class BundleError(PolyrecError):
    """A saved model is damaged, incomplete or of another version."""


class NotReadyError(PolyrecError):
    """Something was asked for before what it needs exists."""


def unknown(what: str, value: object, known: Iterable[object], where: str = "") -> str:
    """Words for a name that is not among the known ones, with the nearest one as a guess.

    Example:
        >>> unknown("scenario", "hom", ["home", "search"], "in the schema")
        "scenario 'hom' is not in the schema. Known: home, search. Did you mean 'home'?"
    """
    names = [str(name) for name in known]
    place = where or "known"
    shown = names if len(names) <= 12 else [*names[:12], f"... ({len(names)} in all)"]
    text = f"{what} {value!r} is not {place}. Known: {', '.join(shown) or 'none'}."
    near = get_close_matches(str(value).rpartition(".")[2], names, n=1, cutoff=0.6)
    return f"{text} Did you mean {near[0]!r}?" if near else text


def sentence(text: str) -> str:
    """The words with one full stop at their end, or with the mark that they end with.

    Example:
        >>> sentence("no rows"), sentence("no rows."), sentence("Did you mean 'home'?")
        ('no rows.', 'no rows.', "Did you mean 'home'?")
    """
    words = text.rstrip()
    return words if words.endswith(("?", "!")) else words.rstrip(".") + "."


def together(problems: Sequence[str], heading: str) -> str:
    """Several problems of one file as one message, so that a user mends them all at once.

    Example:
        >>> print(together(["no tasks", "no features"], "schema.toml has 2 problems"))
        schema.toml has 2 problems:
          - no tasks
          - no features
    """
    if len(problems) == 1:
        return f"{heading}: {problems[0]}"
    return "\n".join([f"{heading}:", *(f"  - {problem}" for problem in problems)])
