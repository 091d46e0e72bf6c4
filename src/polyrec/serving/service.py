"""The state of a server: the model that serves, what waits, what was counted."""

import asyncio
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyrec.errors import PolyrecError
from polyrec.serving import model as models
from polyrec.serving.batcher import Batcher
from polyrec.serving.limits import Limits
from polyrec.serving.metrics import Metrics
from polyrec.serving.model import Model, Sources, Work
from polyrec.serving.refusal import Refusal
from polyrec.serving.wire import ReloadResponse


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is started with.

    `sources`: where it finds items to recommend. `root`: the folder that /reload may read bundles from. `token`: what
    /reload asks for; without one it is shut.
    """

    bundle: Path
    root: Path
    sources: Sources = field(default_factory=Sources)
    token: str | None = None
    threads: int = 1
    limits: Limits = field(default_factory=Limits)


class Service:
    """Answers requests with the current model, and swaps the model between two requests.

    Raises:
        BundleError: the bundle cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.model = Model.load(settings.bundle, settings.sources, settings.threads)
        self.metrics = Metrics()
        self.batcher: Batcher[Work] = Batcher(models.answer, self.limits)
        self.ready = False
        self.held = 0  # bytes of bodies in hand
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Begin to answer."""
        self.batcher.start()
        self.ready = True

    async def stop(self) -> None:
        """Finish what was taken."""
        self.ready = False
        await self.batcher.stop()

    async def answer(self, work: Work, deadline: float) -> Any:
        """The answer to a request that was read.

        Raises:
            Refusal: too many rows, over capacity, or out of time.
            PolyrecError: values that the model cannot read.
        """
        if work.rows > self.limits.rows:
            raise Refusal(
                422,
                f"{work.rows:,} rows in one request: at most {self.limits.rows:,} are taken. Send several requests.",
            )
        self.metrics.rows.add(work.rows)
        return await self.batcher.submit(work, work.rows, deadline)

    def authorise(self, given: str) -> None:
        """Whether an Authorization header may reload; compared in a time that does not tell where it differs.

        Raises:
            Refusal: 403 when the server has no token, 401 when it has another.
        """
        if self.settings.token is None:
            raise Refusal(403, "this server takes no /reload: it was started without a token. Set POLYREC_TOKEN.")
        expected = f"Bearer {self.settings.token}".encode()
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected):
            raise Refusal(401, "wrong token. Send `Authorization: Bearer TOKEN`.", {"WWW-Authenticate": "Bearer"})

    async def reload(self, path: str) -> ReloadResponse:
        """Load a bundle under the root and serve it; the old one goes on until then, and on failure.

        Raises:
            Refusal: 422 for a path outside the root or a bundle that does not load, 409 while another is loaded.
        """
        folder = self._inside(path)
        if self._reloading.locked():
            raise Refusal(409, "another bundle is being loaded. Try again when it is done.", {"Retry-After": "1"})
        async with self._reloading:
            settings = self.settings
            try:
                model = await asyncio.to_thread(Model.load, folder, settings.sources, settings.threads)
            except (PolyrecError, OSError) as reason:
                self.metrics.reloads["refused"] += 1
                words = str(reason).replace(str(settings.root.resolve()), "ROOT")
                raise Refusal(422, f"bundle: {words} The model before goes on serving.") from reason
            before, self.model = self.model, model
            self.metrics.reloads["done"] += 1
            return ReloadResponse(model.identity, before.identity)

    def _inside(self, path: str) -> Path:
        root = self.settings.root.resolve()
        try:
            folder = (root / path).resolve()
        except (OSError, ValueError, RuntimeError):
            folder = root.parent
        if not folder.is_relative_to(root):
            raise Refusal(422, "bundle: the path leads out of the serving root. Name a folder under it.")
        return folder
