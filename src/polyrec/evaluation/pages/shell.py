"""What every page has: the head with colours and style inside, a header, sections with links to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from polyrec.evaluation.figures import palette
from polyrec.evaluation.figures.markup import Markup, join, scrolled, tag


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: an anchor, a heading, a sentence on how to read it, and its content."""

    anchor: str
    heading: str
    lead: str | None
    content: Markup


def document(heading: str, about: Sequence[str], sections: Sequence[Section], kicker: str = "polyrec report") -> str:
    """The whole page. Nothing in it is loaded from anywhere."""
    links = [tag("a", one.heading, href=f"#{one.anchor}") for one in sections]
    top = tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", heading),
        tag("p", *(tag("span", one) for one in about), class_="facts"),
        tag("nav", *links, aria_label="Sections") if len(links) > 1 else None,
    )
    body = tag("body", top, tag("main", *map(_section, sections)), tag("script", Markup(_shipped("page.js"))))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", heading),
        tag("style", Markup(palette.stylesheet() + _shipped("page.css"))),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def tabs(name: str, panes: Sequence[tuple[str, Markup]]) -> Markup:
    """Panes of which one is shown, chosen by radio buttons; works without a script."""
    if len(panes) == 1:
        return panes[0][1]
    choices = []
    for place, (words, _) in enumerate(panes):
        key = f"{name}-{place}"
        choices.append(tag("input", type="radio", name=name, id=key, checked=place == 0))
        choices.append(tag("label", words, for_=key))
    return tag(
        "div",
        join(*choices),
        tag("div", *(tag("div", one, class_="pane") for _, one in panes), class_="panes"),
        class_="tabs",
    )


def panel(heading: str, under: str | None, *content: str | None) -> Markup:
    """A small picture with its heading."""
    caption = tag("figcaption", tag("b", heading), tag("small", under) if under else None)
    return tag("figure", caption, *content)


def panels(found: Sequence[Markup]) -> Markup:
    """Small pictures side by side, as many as the page is wide."""
    return tag("div", *found, class_="panels")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, words: bool = False) -> Markup:
    """A plain table; the first column names the row. `words`: the others hold words, which begin at the left."""
    lines = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", one) for one in row[1:])) for row in rows]
    heads = tag("tr", *(tag("th", one, scope="col") for one in head))
    whole = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", heads),
        tag("tbody", *lines),
        class_="plain words" if words else "plain",
    )
    return scrolled(whole, caption)


def folded(summary: str, *content: str | None) -> Markup:
    """Content that opens on demand."""
    return tag("details", tag("summary", summary), *content)


def _section(one: Section) -> Markup:
    lead = tag("p", one.lead, class_="lead") if one.lead else None
    return tag("section", tag("h2", one.heading), lead, one.content, id=one.anchor)


def _shipped(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
