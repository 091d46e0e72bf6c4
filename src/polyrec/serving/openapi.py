"""The OpenAPI description of a server, from the types that decode its requests."""

from importlib.metadata import version
from typing import Any

import msgspec

from polyrec.serving.wire import (
    ExplainResponse,
    Problem,
    RecommendResponse,
    ReloadRequest,
    ReloadResponse,
    ScoreResponse,
    Wire,
)

_TEMPLATE = "#/components/schemas/{name}"
_REFUSALS = {
    "400": "the body is no JSON",
    "408": "the body came too slowly",
    "413": "the body is too large",
    "422": "a value does not fit; the message names its field",
    "503": "over capacity; see Retry-After",
}
_GETS = {
    "/health": "the process is alive",
    "/ready": "a model is loaded and requests are taken",
    "/schema": "schema, targets, limits and the model's name",
    "/metrics": "counts and times in Prometheus's text format",
    "/openapi.json": "this description",
}


def describe(wire: Wire) -> dict[str, Any]:
    """OpenAPI 3.1 for the schema that serves now: its features are the fields of a row."""
    kinds: Any = (
        wire.score,
        wire.recommend,
        wire.explain,
        ScoreResponse,
        RecommendResponse,
        ExplainResponse,
        ReloadRequest,
        ReloadResponse,
        Problem,
    )
    (score, recommend, explain, scored, recommended, explained, reload, reloaded, problem), components = (
        msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    )
    paths: dict[str, Any] = {path: {"get": _get(text, problem)} for path, text in _GETS.items()}
    paths["/score"] = {"post": _post("probabilities of every target for rows", score, scored, problem)}
    paths["/recommend"] = {"post": _post("the best items for a user in a scenario", recommend, recommended, problem)}
    paths["/explain"] = {
        "post": _post("gates and flows behind the probabilities of a row", explain, explained, problem)
    }
    paths["/explain"]["post"]["responses"]["409"] = _answer("the model has no gates", problem)
    extra = {"401": "wrong token", "403": "no token was set", "409": "another bundle is being loaded"}
    paths["/reload"] = {"post": _post("serve another bundle under the root", reload, reloaded, problem, extra)}
    paths["/reload"]["post"]["security"] = [{"token": []}]
    paths["/recommend"]["post"]["responses"]["409"] = _answer("no items to recommend", problem)
    return {
        "openapi": "3.1.0",
        "info": {"title": "polyrec", "version": version("polyrec")},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _post(text: str, asked: Any, answered: Any, problem: Any, extra: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "summary": text,
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": _answer(text, answered),
            **{status: _answer(words, problem) for status, words in {**_REFUSALS, **(extra or {})}.items()},
        },
    }


def _get(text: str, problem: Any) -> dict[str, Any]:
    return {"summary": text, "responses": {"200": {"description": text}, "503": _answer("stopping", problem)}}


def _answer(text: str, schema: Any) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
