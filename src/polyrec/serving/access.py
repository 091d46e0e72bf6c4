"""The access log: one JSON line a request, on the logger `polyrec.access`; and its count and time."""

import logging
import time
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyrec.serving.metrics import Metrics

log = logging.getLogger("polyrec.access")


class Access:
    """Middleware that times requests. Paths that are none of the server's are counted together."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen: dict[str, Any] = {"status": 500, "sent": 0}

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            elif message["type"] == "http.response.body":
                seen["sent"] += len(message.get("body", b""))
            await send(message)

        started = time.perf_counter()
        try:
            await self.app(scope, receive, noted)
        finally:
            self._note(scope, seen, time.perf_counter() - started)

    def _note(self, scope: Scope, seen: dict[str, Any], seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else "other"
        self.metrics.note(path, seen["status"], seconds)
        if log.isEnabledFor(logging.INFO):
            line = {
                "time": round(time.time(), 3),
                "client": (scope.get("client") or ("",))[0],
                "method": scope["method"][:16],
                "path": ascii(scope["path"][:200])[1:-1],
                "ms": round(1000 * seconds, 2),
                **seen,
            }
            log.info(msgspec.json.encode(line).decode())
