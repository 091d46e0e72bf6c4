"""Reports as one self-contained HTML file: pictures, words and tables, without network or scripts to read it."""

from collections.abc import Iterable, Mapping
from typing import Any

from polyrec.evaluation.pages.report import report_page


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
