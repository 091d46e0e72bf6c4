"""What the page at `/` is made of: its file, examples to try, the model's report."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from polyrec.artifact.golden import read as read_golden
from polyrec.artifact.manifest import REPORT
from polyrec.schema import Schema
from polyrec.serving.limits import Limits
from polyrec.serving.model import Model

MOST_VALUES = 200  # of a feature that the page offers to choose from
# The page brings everything along: nothing is loaded from elsewhere, and no other page may frame it.
SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@cache
def html() -> bytes:
    """The page: one file with its own styles and script."""
    return files("polyrec.serving").joinpath("page.html").read_bytes()


def described(model: Model, limits: Limits) -> dict[str, Any]:
    """Schema, targets, limits, and values to choose from where there are few."""
    manifest, schema = model.scorer.manifest, model.scorer.schema
    return {
        "schema": schema.to_dict(),
        "targets": [
            {"name": one.name, "task": one.task, "space": one.space, "label": _label(one.task, one.space)}
            for one in schema.targets
        ],
        "model": model.identity,
        "recipe": manifest.recipe,
        "parameters": manifest.parameters,
        "trained_on": manifest.trained_on,
        "values": _values(model, schema),
        "items": 0 if model.catalogue is None else len(model.catalogue),
        "report": REPORT in manifest.files,
        "limits": {"rows": limits.rows, "bytes": limits.body, "seconds": limits.seconds},
    }


def _label(task: str, space: str) -> str:
    return task if space == "all" else f"{task} | {space}"


def _values(model: Model, schema: Schema) -> dict[str, list[Any]]:
    known = model.scorer.encoder.vocabulary.values
    found = {}
    for one in schema.features:
        if one.kind == "categorical" and (one.shares or one.name) in known:
            values = known[one.shares or one.name].known[:MOST_VALUES]
            found[one.name] = values.to_pylist() if hasattr(values, "to_pylist") else values.tolist()
    return found


def examples(model: Model) -> dict[str, Any]:
    """The bundle's golden rows: users and items to try."""
    return {"rows": read_golden(model.folder).to_pylist(), "model": model.identity}


def report(model: Model) -> str | None:
    """The page of the model's report; None where the bundle has none."""
    if REPORT not in model.scorer.manifest.files:
        return None
    from polyrec.evaluation.html import render

    return render(json.loads((model.folder / REPORT).read_text(encoding="utf-8")))
