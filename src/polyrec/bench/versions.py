"""Which software made a number."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("polyrec", "torch", "numpy", "polars", "pyarrow")


@cache
def versions() -> dict[str, str]:
    """Python and the packages that decide numbers, without local build tags.

    Example:
        >>> sorted(versions())[:2]
        ['numpy', 'polars']
    """
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:  # run from its source tree
        return "source"
