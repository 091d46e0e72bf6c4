"""Several processes that train one model: what they tell each other, and how they are started."""

from polyrec.distributed.world import ALONE, Joined, World, world

__all__ = ["ALONE", "Joined", "World", "world"]
