"""The few SVG marks that our pictures are made of."""

from collections.abc import Sequence

from polyrec.evaluation.figures.markup import Markup, number, tag

Point = tuple[float, float]


def drawing(width: float, height: float, title: str, description: str, *marks: str) -> Markup:
    """One picture, with what a screen reader says of it: a title and a description."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *marks,
        class_="drawing",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        style=f"max-width:{number(width * 1.3)}px",
    )


def label(x: float, y: float, words: str, *, anchor: str | None = None, style: str | None = None) -> Markup:
    """Text at a point; `anchor` is middle or end, `style` a class of the page."""
    return tag("text", words, x=float(x), y=float(y), text_anchor=anchor, class_=style)


def line(start: Point, end: Point, style: str) -> Markup:
    """A straight line."""
    return tag("line", x1=float(start[0]), y1=float(start[1]), x2=float(end[0]), y2=float(end[1]), class_=style)


def path(points: Sequence[Point], style: str, hint: str | None = None) -> Markup:
    """A line through points."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return tag("path", tag("title", hint) if hint else None, d=f"M{steps}", class_=style)


def area(upper: Sequence[Point], lower: Sequence[Point], style: str) -> Markup:
    """The band between two lines."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in [*upper, *reversed(lower)])
    return tag("path", d=f"M{steps}Z", class_=style)


def dot(centre: Point, radius: float, style: str, hint: str | None = None) -> Markup:
    """A disc; `hint` is shown on hover."""
    words = tag("title", hint) if hint else None
    return tag("circle", words, cx=float(centre[0]), cy=float(centre[1]), r=float(radius), class_=style)


def box(corner: Point, width: float, height: float, style: str, hint: str | None = None) -> Markup:
    """A rectangle with slightly round corners."""
    words = tag("title", hint) if hint else None
    x, y = float(corner[0]), float(corner[1])
    return tag("rect", words, x=x, y=y, width=float(width), height=float(height), rx=2, class_=style)


def shortened(words: str, width: float, size: float = 12.0) -> str:
    """Words cut to about `width` units at this type size, with an ellipsis in place of the rest.

    Example:
        >>> shortened("mailer_interior", 40)
        'mail…'
    """
    room = max(int(width / (size * 0.57)), 2)
    return words if len(words) <= room else words[: room - 1].rstrip() + "…"
