"""Where a stage runs."""

import torch

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
    return torch.device(name)
