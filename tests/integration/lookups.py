"""What sharded tables answer, in as many processes as the environment says: `python lookups.py OUT.pt`."""

import sys
from pathlib import Path

import torch

from polyrec.artifact.weights import save
from polyrec.distributed.join import joined
from polyrec.nn.sharded import ShardedTable, parameter_count, sharding, table
from polyrec.training.reduce import Reduce

ROWS, DIM, BATCH = 140_001, 3, 40  # more rows than two blocks, and not a multiple of the processes
ZERO = (0, 7, 140_000)


def ids(step, rank):
    """Those that a process looks up: none at the second step of the first process."""
    draw = torch.Generator().manual_seed(10 * step + rank)
    count = 0 if (step, rank) == (1, 0) else BATCH
    return torch.randint(0, ROWS, (count, 2), generator=draw).to(torch.int32) % (50 if step == 2 else ROWS)


def main():
    torch.set_default_dtype(torch.float64)
    with joined() as world, sharding(100):
        torch.manual_seed(3)
        one, small = table(ROWS, DIM, zero=ZERO), table(99, DIM)
        found = {"after": torch.rand(1), "kinds": (type(one).__name__, type(small).__name__), "rows": [], "means": []}
        found |= {"ids": [], "size": (ROWS, DIM, ZERO)}
        found["held"] = len(one.weight)
        for step in range(3):
            mine = ids(step, world.rank)
            offsets = torch.arange(0, 2 * len(mine) + 1, 4, dtype=torch.int32)
            found["ids"].append(world.gather(mine))
            rows, means = one(mine), one.mean(mine.flatten(), offsets)
            found["rows"].append(torch.cat(world.gather(rows.flatten(1))))
            found["means"].append(torch.cat(world.gather(means)))
            ((rows**2).sum() + means.exp().sum()).backward()
        Reduce(world, {}, {"a": one.weight}, [one]).step((), idle=False)
        with torch.no_grad():
            one.weight -= 0.1 * one.weight.grad.to_dense()
        found["told"] = world.from_first(lambda: one(torch.tensor([[5, 140_000], [5, 0]])).tolist())
        found["count"] = parameter_count(one)
        world.from_first(lambda: save(torch.nn.ModuleDict({"t": one, "s": small}), Path(f"{sys.argv[1]}.safetensors")))
        taken = ShardedTable(ROWS, DIM, here=world)
        taken.load_state_dict({"weight": torch.arange(ROWS * DIM).view(ROWS, DIM)})
        found["whole"] = torch.cat(list(taken.blocks()))
        if world.leads:
            torch.save(found, sys.argv[1])


if __name__ == "__main__":
    main()
