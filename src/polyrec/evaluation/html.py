"""Reports as one self-contained HTML file: pictures, words and tables, without network or scripts to read it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from polyrec.evaluation.pages.comparison import comparison_page
from polyrec.evaluation.pages.continual import history_page
from polyrec.evaluation.pages.overview import overview_page
from polyrec.evaluation.pages.report import report_page


@runtime_checkable
class Plain(Protocol):
    """Whatever gives its plain values, as `Comparison` does."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ...


def render(report: Mapping[str, Any], events: Iterable[Mapping[str, Any]] = (), title: str | None = None) -> str:
    """The page of one report.

    Args:
        report: the values of report.json.
        events: those of events.jsonl, for the training curves; none where it was only evaluated.
        title: the page's heading; the recipe's name by default.

    Example:
        >>> page = render({"recipe": "mmoe", "split": "test", "cells": []})
        >>> page.startswith("<!doctype html>"), "http" in page
        (True, False)
    """
    return report_page(report, events, title)


def render_comparison(
    comparison: Plain | Mapping[str, Any] | Sequence[Plain | Mapping[str, Any]], title: str | None = None
) -> str:
    """The page of one comparison, or of several with the same baseline.

    Example:
        >>> page = render_comparison({"baseline": "pooled", "other": "mmoe", "differences": []})
        >>> "mmoe against pooled" in page
        True
    """
    several = comparison if isinstance(comparison, Sequence) else [comparison]
    return comparison_page([one if isinstance(one, Mapping) else one.to_dict() for one in several], title)


def render_overview(
    reports: Sequence[Mapping[str, Any]],
    *,
    title: str = "Recipes compared",
    events: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """The page of several reports: a leaderboard, recipes by cells, and the leader's own report.

    Args:
        reports: the values of report.json files; those of one recipe (other seeds) are taken together.
        title: the page's heading.
        events: events.jsonl by recipe, for the leader's training curves.
        links: where a recipe's own page lies, relative to this one.

    Example:
        >>> "There is no report yet" in render_overview([])
        True
    """
    return overview_page(reports, title, events, links)


def render_history(
    history: Sequence[Mapping[str, Any]], events: Iterable[Mapping[str, Any]] = (), recipe: str = "model"
) -> str:
    """The page of a model that goes on learning.

    Args:
        history: the lines of history.jsonl, the fit's first.
        events: those of the same folder, for periods that were refused.
        recipe: its name.

    Example:
        >>> line = {"generation": 0, "name": "the fit", "rows": 9, "trained": 9, "cells": []}
        >>> "the fit" in render_history([line])
        True
    """
    return history_page(history, events, recipe)
