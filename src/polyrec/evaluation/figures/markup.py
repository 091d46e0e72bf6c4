"""Markup that is escaped by construction: a plain string is text, only `Markup` is taken as it is."""

from html import escape

Attribute = str | int | float | bool | None
_VOID = {"meta", "input", "br", "hr", "col"}


class Markup(str):
    """Text that is HTML or SVG already."""

    __slots__ = ()


def tag(name: str, /, *inside: str | None, **attributes: Attribute) -> Markup:
    """An element. Plain strings inside and every attribute's value are escaped.

    A trailing underscore of an attribute's name is dropped (`class_`), other underscores become hyphens;
    None and False leave the attribute out, True writes its bare name.

    Example:
        >>> tag("td", "<b>", tag("i", "x"), class_="n")
        '<td class="n">&lt;b&gt;<i>x</i></td>'
    """
    opened = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}"
    if name in _VOID:
        return Markup(f"{opened}>")
    content = join(*inside)
    return Markup(f"{opened}>{content}</{name}>")


def join(*parts: str | None) -> Markup:
    """Several pieces in a row; plain strings are escaped, None is left out."""
    return Markup("".join(one if isinstance(one, Markup) else escape(one) for one in parts if one is not None))


def scrolled(table: Markup, label: str, *, tall: bool = False) -> Markup:
    """A table in a frame of its own that scrolls, by keyboard too, where the page is too narrow for it."""
    return tag("div", table, class_="scroll tall" if tall else "scroll", tabindex=0, role="region", aria_label=label)


def number(value: float) -> str:
    """A coordinate: two decimals at most.

    Example:
        >>> number(12.0), number(3.14159), number(-0.001)
        ('12', '3.14', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f' {name}=""'
    text = number(value) if isinstance(value, float) else str(value)
    return f' {name}="{escape(text)}"'
