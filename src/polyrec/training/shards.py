"""Checkpoints of several processes: rows of sharded tables in a file of each, all else in the first one's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from polyrec.distributed import World
from polyrec.nn.sharded import sharded
from polyrec.training import checkpoint
from polyrec.training.checkpoint import Checkpoint


class Shards:
    """Writes and reads what of a checkpoint is this process's; without sharded tables it is one file for all.

    The first process's file names the others, which are new ones each time, and is written when they are whole: at
    every moment it and those it names are one checkpoint. It is read by another number of processes too, and by
    programs that hold whole tables (`checkpoint.load`).

    Args:
        parts: the modules by name ("model", "objective", "balancer").
        world: the processes.
    """

    def __init__(self, parts: Mapping[str, nn.Module], world: World) -> None:
        self.world = world
        names = [(part, name) for part, module in parts.items() for name in sharded(module)]
        self.ends = tuple(end for part, name in names for end in (f"/{part}/{name}", f"/rows.{part}.{name}"))
        self.saved = 0

    def save(self, path: Path, found: Checkpoint) -> None:
        """Write a checkpoint; all processes do.

        Raises:
            NotReadyError: the disk is full or not writable; the checkpoint before stays as it was.
        """
        own = {name: one for name, one in found.tensors.items() if name.endswith(self.ends)}
        values: dict[str, Any] = {**found.values}
        if own:
            self.saved += 1
            checkpoint.save(checkpoint.shard(path, self.saved, self.world.rank), Checkpoint(own, {}))
            self.world.counts(0)  # all are written
            values["shards"] = {"number": self.saved, "of": self.world.size, "names": sorted(own)}
        if self.world.leads:
            rest = {name: one for name, one in found.tensors.items() if name not in own}
            checkpoint.save(path, Checkpoint(rest, values))
            checkpoint.remove_shards(path, self.saved if own else None)

    def load(self, path: Path) -> Checkpoint | None:
        """What `save` wrote, with this process's rows of sharded tables.

        Raises:
            DataError: a file is damaged or missing.
        """
        here = self.world
        found = checkpoint.load(path, lambda name: (here.rank, here.size) if name.endswith(self.ends) else (0, 1))
        if found is not None:
            self.saved = found.values.get("shards", {}).get("number", 0)
        return found
