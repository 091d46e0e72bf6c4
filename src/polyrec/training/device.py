"""Where a stage runs."""

import torch

from polyrec.distributed import world
from polyrec.errors import ConfigError, unknown


def device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ConfigError: no such device here, with the ones there are.

    Example:
        >>> device("cpu")
        device(type='cpu')
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{place}" for place in range(count))]
    if name not in known:
        raise ConfigError(f"[training] {unknown('device', name, known, 'on this machine')}")
    if name == "cuda" and not world().alone:  # each process has its own, set when it joined
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name)
