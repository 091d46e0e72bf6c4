"""Freed memory is kept for the next batch rather than given back to the system and taken again."""

import ctypes
import os
import sys

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
_KEPT = 1 << 30  # bytes
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed() -> bool:
    """Let the C library's allocator keep up to 1 GiB of freed memory; whether it does.

    Activations of a batch are blocks of some 10 MB. glibc hands such blocks back to the system when they are freed and
    takes fresh pages for the next batch, and each page costs a fault: some 15 % of a training step. Nothing is done on
    other systems, nor where the environment already chooses an allocator or its thresholds.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _CHOSEN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP, _KEPT)) and bool(mallopt(_TRIM, _KEPT))
