"""A service on a socket: started, stopped so that it finishes what it took."""

import gc
import logging
import socket
import sys

import uvicorn

from polyrec.serving.http import application
from polyrec.serving.service import Service, Settings


class Server(uvicorn.Server):
    """A uvicorn server of one bundle.

    SIGTERM or SIGINT, or `should_exit = True`, stops it: no new connections, requests in hand are answered within
    `limits.grace` seconds.

    Args:
        settings: bundle, root, token, limits.
        host: loopback unless you mean otherwise.
        port: 0 for any that is free; `listen` says which.
        pages: also serve the page, the report and examples from the bundle.
    """

    def __init__(self, settings: Settings, host: str = "127.0.0.1", port: int = 8000, *, pages: bool = True) -> None:
        self.service = Service(settings)
        super().__init__(
            uvicorn.Config(
                application(self.service, pages=pages),
                host=host,
                port=port,
                access_log=False,
                log_config=None,
                server_header=False,
                ws="none",
                backlog=1024,
                timeout_keep_alive=10,
                timeout_graceful_shutdown=max(1, round(settings.limits.grace)),
            )
        )

        self.socket: socket.socket | None = None

    def listen(self) -> str:
        """Take the port, so that connections are kept until `run` answers them; returns the address.

        Raises:
            OSError: the port is taken, or the host is not this machine's.
        """
        host, family = self.config.host, socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
        self.socket = socket.create_server((host, self.config.port), family=family, backlog=self.config.backlog)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        return f"http://{shown}:{self.socket.getsockname()[1]}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped, on the socket of `listen`."""
        if self.socket is None:
            self.listen()
        super().run(sockets or ([self.socket] if self.socket else None))


def calm_collector() -> None:
    """Let Python's collector of cycles look at young objects seldom, and at what was loaded never again.

    A request of 500 rows makes thousands of objects, none in a cycle; looking for some took a fifth of its time. It
    concerns the whole process: for a command, not for a library.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def log_to_stderr(*, access: bool) -> None:
    """Lines of the access log as they are, warnings and errors of everything else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    lines = logging.getLogger("polyrec.access")
    lines.addHandler(handler)
    lines.setLevel(logging.INFO if access else logging.WARNING)
    lines.propagate = False
    logging.basicConfig(level=logging.WARNING, format="polyrec: %(name)s: %(message)s", stream=sys.stderr)
