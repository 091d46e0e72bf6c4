"""The HTTP face: routes, bounded bodies, errors as JSON, an access log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from polyrec.errors import NotReadyError, PolyrecError
from polyrec.serving import page
from polyrec.serving.access import Access
from polyrec.serving.openapi import describe
from polyrec.serving.refusal import Refusal, overloaded
from polyrec.serving.service import Service
from polyrec.serving.wire import Problem, ReloadRequest, decode, encode

JSON = "application/json"
Handler = Callable[[Service, Request], Awaitable[Response]]
log = logging.getLogger("polyrec.serving")


def application(service: Service, *, pages: bool = True) -> Starlette:
    """The ASGI application of a service.

    Args:
        service: what answers.
        pages: also offer `/`, `/report` and `/examples`, which show values of the bundle's golden rows.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    shown = {"/": _page, "/report": _report, "/examples": _examples} if pages else {}
    asked = {"/health": _health, "/ready": _ready, "/schema": _schema, "/metrics": _metrics, "/openapi.json": _openapi}
    posted = {"/score": _score, "/recommend": _recommend, "/explain": _explain, "/reload": _reload}
    routes = [Route(path, _guarded(service, one), methods=["GET"]) for path, one in (asked | shown).items()]
    routes += [Route(path, _guarded(service, one), methods=["POST"]) for path, one in posted.items()]
    application = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: _unrouted})
    application.add_middleware(Access, metrics=service.metrics, paths=frozenset(asked | shown | posted))
    return application


def _guarded(service: Service, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The handler with every refusal and error as JSON, within the time of a request."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(service, request)
        except Refusal as reason:
            return _problem(reason.status, reason.message, reason.headers)
        except NotReadyError as reason:
            return _problem(409, str(reason))
        except PolyrecError as reason:
            return _problem(422, str(reason))
        except ClientDisconnect:
            return _problem(400, "the client went away.")
        except Exception:
            log.exception("a fault of polyrec")
            return _problem(500, "a fault of polyrec; the log has it.")

    return answer


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(encode(Problem(message)), status, headers, JSON)


async def _unrouted(_: Request, reason: Exception) -> Response:
    assert isinstance(reason, HTTPException)
    words = {404: "no such path. GET /openapi.json lists those there are.", 405: "this path takes another method."}
    return _problem(reason.status_code, words.get(reason.status_code, reason.detail), dict(reason.headers or {}))


def _answered(answer: Any) -> Response:
    return Response(encode(answer), media_type=JSON)


async def _body(service: Service, request: Request, deadline: float) -> bytes:
    """The whole body, bounded in bytes and time.

    Raises:
        Refusal: 413 too large, 408 too slow, 503 too much of it in hand at once.
    """
    limits, parts, size = service.limits, [], 0
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > limits.body:
        raise _too_large(limits.body)
    try:
        async with asyncio.timeout_at(deadline):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                service.held += len(part)
                if size > limits.body:
                    raise _too_large(limits.body)
                if service.held > limits.bodies:
                    raise overloaded("too many bodies in hand")
        return b"".join(parts)
    except TimeoutError as reason:
        raise Refusal(408, f"the body did not arrive within {limits.seconds:g} seconds.") from reason
    finally:
        service.held -= size


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most:,} bytes. Send fewer rows at a time.", {"Connection": "close"})


def _deadline(service: Service) -> float:
    return asyncio.get_running_loop().time() + service.limits.seconds


async def _score(service: Service, request: Request) -> Response:
    deadline, model = _deadline(service), service.model
    body = decode(await _body(service, request, deadline), model.wire.score)
    return _answered(await service.answer(model.score(body), deadline))


async def _recommend(service: Service, request: Request) -> Response:
    deadline, model = _deadline(service), service.model
    body = decode(await _body(service, request, deadline), model.wire.recommend)
    return _answered(await service.answer(model.rank(body), deadline))


async def _explain(service: Service, request: Request) -> Response:
    deadline, model = _deadline(service), service.model
    body = decode(await _body(service, request, deadline), model.wire.explain)
    work = await asyncio.to_thread(model.explain, body)  # builds the model when it is first asked for
    return _answered(await service.answer(work, deadline))


async def _reload(service: Service, request: Request) -> Response:
    service.authorise(request.headers.get("authorization", ""))
    body = decode(await _body(service, request, _deadline(service)), ReloadRequest)
    return _answered(await service.reload(body.bundle))


async def _health(_: Service, __: Request) -> Response:
    return _answered({"status": "alive"})


async def _ready(service: Service, _: Request) -> Response:
    if not service.ready:
        raise overloaded("the server is stopping")
    return _answered({"status": "ready", "model": service.model.identity})


async def _schema(service: Service, _: Request) -> Response:
    return _answered(page.described(service.model, service.limits))


async def _metrics(service: Service, _: Request) -> Response:
    gauges = {"polyrec_waiting_rows": float(service.batcher.waiting), "polyrec_body_bytes": float(service.held)}
    text = service.metrics.text(gauges, service.model.identity)
    return Response(text, media_type="text/plain; version=0.0.4")


async def _openapi(service: Service, _: Request) -> Response:
    return _answered(describe(service.model.wire))


async def _page(_: Service, __: Request) -> Response:
    return Response(page.html(), headers=page.SAFE, media_type="text/html")


async def _examples(service: Service, _: Request) -> Response:
    return _answered(page.examples(service.model))


async def _report(service: Service, _: Request) -> Response:
    text = await asyncio.to_thread(page.report, service.model)
    if text is None:
        raise Refusal(404, "this bundle has no report. `polyrec export RUN --out BUNDLE` puts a run's report into it.")
    return Response(text, headers=page.SAFE, media_type="text/html")
