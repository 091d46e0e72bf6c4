"""Where a killed run goes on: one file, whole or not there."""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polyrec.atomic import whole_file
from polyrec.errors import DataError, NotReadyError
from polyrec.shapes import Tensor

VERSION = 1
_VALUES = "polyrec"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a run needs to go on: tensors by name and plain values.

    Example:
        >>> import torch
        >>> found = Checkpoint({"weights/a": torch.ones(1), "best/a": torch.zeros(1)}, {"step": 3})
        >>> found.part("best")
        {'a': tensor([0.])}
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix/`, without it."""
        return {name[len(prefix) + 1 :]: one for name, one in self.tensors.items() if name.startswith(f"{prefix}/")}


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in place of the one before, which stays whole until the new one is.

    One safetensors file holds the tensors and, as JSON in its header, the values. It is written beside `path`,
    synced, and renamed over it: at every moment `path` is one whole checkpoint or, before the first, none.

    Raises:
        NotReadyError: the disk is full or not writable; the checkpoint before stays as it was.
    """
    text = json.dumps({"version": VERSION, **checkpoint.values}, allow_nan=False)
    try:
        _remove_leftovers(path)
        with whole_file(path) as target:
            save_file(_owned(checkpoint.tensors), target, {_VALUES: text})
    except (OSError, SafetensorError) as reason:
        raise NotReadyError(_not_written(path, reason)) from reason


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none yet.

    Raises:
        DataError: the file is damaged, or of another version of polyrec.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            values = json.loads((file.metadata() or {}).get(_VALUES, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, ValueError, SafetensorError) as reason:
        raise DataError(f"checkpoint {path} is damaged: {reason}. Remove it to start the stage anew.") from reason
    if values.get("version") != VERSION:
        raise DataError(
            f"checkpoint {path} has version {values.get('version')}; this polyrec reads {VERSION}. "
            "Resume with the polyrec that wrote it, or remove it to start the stage anew."
        )
    return Checkpoint(tensors, values)


def _owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU that share no memory: safetensors takes no other."""
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, one in tensors.items():
        plain = one.detach().cpu().contiguous()
        storage = plain.untyped_storage()
        if storage.data_ptr() in taken or storage.nbytes() != plain.numel() * plain.element_size():
            plain = plain.clone()
        taken.add(plain.untyped_storage().data_ptr())
        found[name] = plain
    return found


def _remove_leftovers(path: Path) -> None:
    """What writers that were killed left behind: our temporary files, and those of safetensors within them."""
    for pattern in (f".{path.name}.*.tmp", ".tmp??????"):
        for found in path.parent.glob(pattern):
            found.unlink(missing_ok=True)


def _not_written(path: Path, reason: Exception) -> str:
    words = str(reason)
    full = getattr(reason, "errno", None) == errno.ENOSPC or "code: 28" in words or "No space left" in words
    what = "the disk is full" if full else words.rstrip(".")
    remedy = "Free some space" if full else "Make the folder writable"
    kept = "The checkpoint before it is intact" if path.exists() else "There is none before it"
    return f"checkpoint {path} could not be written: {what}. {kept}. {remedy} and run again with --resume."
