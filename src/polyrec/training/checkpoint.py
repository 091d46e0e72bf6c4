"""Where a killed run goes on: one folder a generation, whole or not there."""

import errno
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from polyrec.atomic import whole_folder
from polyrec.errors import NotReadyError
from polyrec.shapes import Tensor

_PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a run needs to go on: tensors by name and plain values."""

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix/`, without it."""
        return {name[len(prefix) + 1 :]: one for name, one in self.tensors.items() if name.startswith(f"{prefix}/")}


def save(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a generation whole, then remove the older ones.

    Raises:
        NotReadyError: the disk is full or not writable; the generation before stays as it was.
    """
    path = folder / f"{_PREFIX}{step:09d}"
    try:
        with whole_folder(path) as target:
            tensors = {name: one.detach().cpu().contiguous().clone() for name, one in checkpoint.tensors.items()}
            save_file(tensors, target / "tensors.safetensors")
            (target / "state.json").write_text(json.dumps(checkpoint.values), encoding="utf-8")
    except (OSError, SafetensorError) as reason:
        full = (isinstance(reason, OSError) and reason.errno == errno.ENOSPC) or "No space left" in str(reason)
        remedy = "Free some space and run again with --resume" if full else "Make it writable and run with --resume"
        raise NotReadyError(
            f"the checkpoint of step {step} could not be written to {folder}: {reason}. {remedy}; "
            "the checkpoint before it is intact."
        ) from reason
    for older in generations(folder)[:-1]:
        shutil.rmtree(older, ignore_errors=True)
    return path


def generations(folder: Path) -> list[Path]:
    """Complete generations, oldest first."""
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir())


def latest(folder: Path) -> Checkpoint | None:
    """The newest generation, or None where there is none.

    Raises:
        NotReadyError: it is damaged.
    """
    found = generations(folder)
    if not found:
        return None
    try:
        values = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
        return Checkpoint(load_file(found[-1] / "tensors.safetensors"), values)
    except (OSError, ValueError, SafetensorError) as reason:
        raise NotReadyError(f"{found[-1]} is damaged: {reason}. Remove it, or start the run anew.") from reason
