"""Where a killed run goes on: one file, whole or not there."""

import glob
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from polyrec.atomic import whole_file
from polyrec.disk import full
from polyrec.errors import DataError, NotReadyError
from polyrec.shapes import Tensor

VERSION = 1
_VALUES = "polyrec"
_BLOCK = 65_536  # rows of a table


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


def load(path: Path, part: Callable[[str], tuple[int, int]] = lambda _: (0, 1)) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none yet.

    Args:
        path: the file that `save` wrote; the files of shards that it names lie beside it.
        part: by name, which rows of a tensor are wanted: from the first number on, each so many-th; all, unless given.

    Raises:
        DataError: the file is damaged, or of another version of polyrec.
    """
    if not path.exists():
        return None
    values = plain(path)
    with _opened(path) as file:
        tensors = {name: _rows(file, name, *part(name)) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    if values.get("version") != VERSION:
        raise DataError(
            f"checkpoint {path} has version {values.get('version')}; this polyrec reads {VERSION}. "
            "Resume with the polyrec that wrote it, or remove it to start the stage anew."
        )
    shards = values.get("shards", {})
    for name in shards.get("names", ()):
        files = [shard(path, shards["number"], rank) for rank in range(shards["of"])]
        tensors[name] = _gathered(files, name, *part(name))
    return Checkpoint(tensors, values)


def plain(path: Path) -> dict[str, Any]:
    """The plain values of the checkpoint at `path`; no tensor is read.

    Raises:
        DataError: the file is damaged.
    """
    with _opened(path) as file:
        found: dict[str, Any] = json.loads((file.metadata() or {}).get(_VALUES, "{}"))
    return found


def shard(path: Path, number: int, rank: int) -> Path:
    """Where process `rank` keeps its rows of the checkpoint at `path` that was written as so-and-so-many-th."""
    return path.parent / f"process-{rank}" / f"{path.stem}.{number}{path.suffix}"


def remove_shards(path: Path, before: int | None = None) -> None:
    """Remove rows of the checkpoints at `path` before that number; of all."""
    for found in path.parent.glob(f"process-*/{glob.escape(path.stem)}.*{path.suffix}"):
        number = found.name.removeprefix(f"{path.stem}.").removesuffix(path.suffix)
        if number.isdecimal() and (before is None or int(number) < before):
            found.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, ValueError, SafetensorError) as reason:
        raise DataError(f"checkpoint {path} is damaged: {reason}. Remove it to start the stage anew.") from reason


def _rows(file: Any, name: str, first: int, every: int) -> Tensor:
    """Rows `first`, `first + every`, ... of a tensor; a block of them in memory at a time."""
    found: Tensor
    if every == 1:
        found = file.get_tensor(name)
    else:
        rows, block = file.get_slice(name), _BLOCK * every
        starts = range(0, rows.get_shape()[0], block)
        found = torch.cat([rows[at : at + block][first::every] for at in starts])
    return found


def _gathered(files: Sequence[Path], name: str, first: int, every: int) -> Tensor:
    """The same of a tensor whose row r is row r // F of file r % F of F."""
    count, found = len(files), None
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(one)) for one in files]
        rows = sum(one.get_slice(name).get_shape()[0] for one in opened)
        wanted = torch.arange(first, max(rows, first), every)
        for place, file in enumerate(opened):
            here = wanted % count == place
            if not here.any():
                continue
            part = file.get_tensor(name)
            if found is None:
                found = part.new_empty(len(wanted), *part.shape[1:])
            found[here] = part[wanted[here] // count]
        nothing: Tensor = opened[0].get_tensor(name)[:0]
        return nothing if found is None else found


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
    no_room = full(reason) is not None
    what = "the disk is full" if no_room else words.rstrip(".")
    remedy = "Free some space" if no_room else "Make the folder writable"
    kept = "The checkpoint before it is intact" if path.exists() else "There is none before it"
    return f"checkpoint {path} could not be written: {what}. {kept}. {remedy} and run again with --resume."
