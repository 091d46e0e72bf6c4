"""Counts and times of a server in Prometheus's text format."""

from bisect import bisect_left
from collections import defaultdict
from pathlib import Path

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_PAGE = 4096


class Histogram:
    r"""Counts of values up to bounds.

    Example:
        >>> times = Histogram((0.1, 1.0))
        >>> times.add(0.5); times.add(3.0)
        >>> print(*times.lines("seconds", 'path="/score"'), sep="\n")
        seconds_bucket{path="/score",le="0.1"} 0
        seconds_bucket{path="/score",le="1"} 1
        seconds_bucket{path="/score",le="+Inf"} 2
        seconds_sum{path="/score"} 3.5
        seconds_count{path="/score"} 2
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str = "") -> list[str]:
        """In Prometheus's words."""
        found, before, so_far = [], f"{labels}," if labels else "", 0
        for bound, count in zip((*(f"{one:g}" for one in self.bounds), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append(f'{name}_bucket{{{before}le="{bound}"}} {so_far}')
        inside = f"{{{labels}}}" if labels else ""
        return [*found, f"{name}_sum{inside} {self.total:g}", f"{name}_count{inside} {so_far}"]


class Metrics:
    """What a server counts. Written from the event loop alone."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = defaultdict(int)
        self.seconds: dict[str, Histogram] = defaultdict(lambda: Histogram(SECONDS))
        self.rows = Histogram(ROWS)
        self.reloads: dict[str, int] = defaultdict(int)

    def note(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self.requests[path, status] += 1
        self.seconds[path].add(seconds)

    def text(self, gauges: dict[str, float], model: str) -> str:
        """Everything, for a scrape."""
        lines = ["# TYPE polyrec_requests_total counter"]
        lines += [
            f'polyrec_requests_total{{path="{path}",status="{status}"}} {count}'
            for (path, status), count in sorted(self.requests.items())
        ]
        lines += ["# TYPE polyrec_request_seconds histogram"]
        for path, times in sorted(self.seconds.items()):
            lines += times.lines("polyrec_request_seconds", f'path="{path}"')
        lines += ["# TYPE polyrec_request_rows histogram", *self.rows.lines("polyrec_request_rows")]
        lines += ["# TYPE polyrec_reloads_total counter"]
        lines += [f'polyrec_reloads_total{{result="{one}"}} {count}' for one, count in sorted(self.reloads.items())]
        for name, value in {**gauges, "process_resident_memory_bytes": _resident()}.items():
            lines += [f"# TYPE {name} gauge", f"{name} {value:g}"]
        escaped = model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        lines += ["# TYPE polyrec_model_info gauge", f'polyrec_model_info{{model="{escaped}"}} 1']
        return "\n".join(lines) + "\n"


def _resident() -> float:
    """Bytes of memory that the process holds; 0 where the system does not say."""
    try:
        return float(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0.0
