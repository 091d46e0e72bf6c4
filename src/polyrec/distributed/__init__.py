"""Several processes that train one model: what they tell each other, and how they are started."""

from polyrec.distributed.joined import Joined
from polyrec.distributed.world import ALONE, World, world

__all__ = ["ALONE", "Joined", "World", "world"]
