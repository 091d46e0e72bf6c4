"""What too little memory is told as, and what takes less of it."""

import re

_BYTES = re.compile(r"tried to allocate (\d+) bytes|Tried to allocate ([\d.]+ \w+)|Unable to allocate ([\d.]+ \w+)")
_SIGNS = (
    "can't allocate memory",
    "CUDA out of memory",
    "Storage size calculation overflowed",
    "cudaErrorMemoryAllocation",
)


def memory(reason: Exception) -> str | None:
    """In words, that memory ran out, and what to lower; None where something else went wrong.

    Example:
        >>> memory(RuntimeError("can't allocate memory: you tried to allocate 4000000 bytes.")).partition(". ")[0]
        'out of memory: 4,000,000 bytes in one piece were not to be had'
        >>> memory(ValueError("3 is not a number")) is None
        True
    """
    text = str(reason)
    if not isinstance(reason, MemoryError) and not any(sign in text for sign in _SIGNS):
        return None
    found = _BYTES.search(text)
    size = "" if found is None else f"{int(found[1]):,} bytes" if found[1] else found[2] or found[3]
    what = f"{size} in one piece were not to be had" if size else "what was asked for is more than this machine has"
    lower = "the model's sizes ([model] dim, widths, experts), [training] batch_size or [data] shuffle_rows"
    return f"out of memory: {what}. Lower {lower}."
