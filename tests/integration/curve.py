"""What a run learns in float64, in as many processes as the environment says: `python curve.py RUN.toml OUT.json`."""

import json
import sys
from pathlib import Path

import torch

from polyrec.config import RunConfig
from polyrec.data.encode import Encoder
from polyrec.data.mixed import _Reader
from polyrec.distributed import world
from polyrec.distributed.join import joined
from polyrec.nn.sharded import ShardedTable, sharded
from polyrec.recipes import fit as fitting
from polyrec.training.events import read
from polyrec.training.losses import Losses
from polyrec.training.reduce import Reduce
from polyrec.training.spread import Spread

FOUND = {"losses": [], "weights": {}}
REDUCES = []
encode, add, begin, spread, look = Encoder.encode, Losses.add, Reduce.__init__, Spread.begin, ShardedTable._read
take, TAKEN = _Reader.take, [0]  # training rows that this process has read
READ: dict[ShardedTable, set[int]] = {}  # distinct rows of other processes that the step under way has read
TRAFFIC = {"sent": 0, "least": 0, "before": 0}  # bytes of this process: ids, rows and gradients of training steps


def doubled(one):
    return one.double() if one.is_floating_point() else one


def opened(self, batch):
    READ.clear()
    TRAFFIC["before"] = world().sent
    spread(self, batch)


def taken(self, rows):
    TAKEN[0] += rows
    return take(self, rows)


def reading(self, ids):
    strange = ids.flatten().long()
    strange = strange[strange % self.here.size != self.here.rank]
    READ.setdefault(self, set()).update(strange.tolist())
    return look(self, ids)


def noted(self, terms):
    TRAFFIC["sent"] += world().sent - TRAFFIC["before"]
    for table, rows in READ.items():  # each row's id asked for, the row got, its gradient sent
        TRAFFIC["least"] += len(rows) * (4 + 2 * table.dim * table.weight.element_size())
    FOUND["losses"].append({name: float(one) for name, one in terms.items()})
    add(self, terms)


def begun(self, *arguments):
    REDUCES.append(self)
    begin(self, *arguments)


def keep(folder, rows, assembly, *_):
    tables = {name: torch.cat(list(one.blocks())) for name, one in sharded(assembly.model).items()}
    whole = {**assembly.model.state_dict(), **tables}
    FOUND["weights"] = {name: float(one.double().sum()) for name, one in whole.items()}
    traffic = world().sum(torch.tensor([TRAFFIC["sent"], TRAFFIC["least"]]))
    FOUND["sent"], FOUND["least"] = traffic.tolist()
    FOUND["taken"] = [int(one) for one in world().gather(torch.tensor(TAKEN))]
    FOUND["bytes"], FOUND["sharded"] = sum(one.bytes for one in REDUCES), sorted(tables)
    if folder.events.exists():
        FOUND["scores"] = [line["score"] for line in read(folder.events) if line["kind"] == "evaluation"]


def main():
    torch.set_default_dtype(torch.float64)
    Encoder.encode = lambda self, *arguments, **options: encode(self, *arguments, **options).map(doubled)
    Losses.add, Reduce.__init__, fitting.outcome.keep = noted, begun, keep
    Spread.begin, ShardedTable._read, _Reader.take = opened, reading, taken
    with joined() as world:
        fitting.fit(RunConfig.load(sys.argv[1]), f"{sys.argv[2]}.folder")
        if world.leads:
            Path(sys.argv[2]).write_text(json.dumps(FOUND), encoding="utf-8")


if __name__ == "__main__":
    main()
