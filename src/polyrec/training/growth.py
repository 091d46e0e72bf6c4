"""Weights and optimizer state of a model that knows more values and scenarios than the one they come from."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from polyrec.errors import ConfigError
from polyrec.nn.growing import Growing
from polyrec.shapes import Int, Tensor


@dataclass(frozen=True, slots=True)
class Moved:
    """Where the slices of a tensor along one dimension lie in its grown form."""

    axis: int
    places: Int[Tensor, "R"]

    def into(self, new: Tensor, old: Tensor) -> Tensor:
        """A copy of `new` with the slices of `old` in their places."""
        return new.clone().index_copy_(self.axis, self.places, old.to(new.dtype))


@dataclass(frozen=True, slots=True)
class Growth:
    """How the state of one module becomes that of the same module for more values and scenarios.

    What was there stays the same number by number; what is new is as the new module was built. A module that is
    `Growing` says where its rows go. Every other tensor has grown along one dimension that counts scenarios, outermost
    in it, whose new ones come last.

    Example:
        >>> old, new = nn.Embedding(2, 1), nn.Embedding(3, 1)
        >>> growth = Growth.between(old, new, scenarios=(2, 3))
        >>> grown = growth.weights(old.state_dict(), new.state_dict())["weight"]
        >>> torch.equal(grown[:2], old.weight), torch.equal(grown[2:], new.weight[2:])
        (True, True)
    """

    moved: Mapping[str, Moved]

    @classmethod
    def between(cls, old: nn.Module, new: nn.Module, *, scenarios: tuple[int, int]) -> "Growth":
        """How `old` becomes `new`.

        Args:
            old: the module that has learned.
            new: the same module, built for the larger layout.
            scenarios: how many there were, and are.

        Raises:
            ConfigError: a tensor that grew in a way that nobody knows.
        """
        moved: dict[str, Moved] = {}
        before, parts = old.state_dict(), dict(old.named_modules())
        for name, part in new.named_modules():
            if isinstance(part, Growing):
                start = f"{name}." if name else ""
                moved |= {start + key: Moved(0, places) for key, places in part.places(parts[name]).items()}
        for name, one in new.state_dict().items():
            if name not in moved and name in before and before[name].shape != one.shape:
                moved[name] = _by_scenario(name, before[name], one, scenarios)
        return cls(moved)

    def weights(self, old: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The grown state: `fresh` where there was nothing, `old` everywhere else."""
        return {
            name: self.moved[name].into(one, old[name]) if name in self.moved else old.get(name, one)
            for name, one in fresh.items()
        }

    def optimizer(self, part: str, state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
        """The state of `training.optim.Optimizer` for this part, with nothing seen yet of what is new.

        Args:
            part: the module's name among the optimizer's parts.
            state: as `Optimizer.state` gave it; what belongs to other parts is left out.
            shapes: of the grown parameters, by their name in the part.
        """
        found = {}
        for key, one in state.items():
            kind, _, rest = key.partition(".")
            owner, _, name = rest.partition(".")
            if owner != part:
                continue
            key_of = ""
            if kind in ("adam", "lazy"):
                name, _, key_of = name.rpartition(".")
            move = self.moved.get(name)
            if move is None or one.dim() == 0:
                found[key] = one
            else:
                shape = shapes[name][:1] if kind == "rows" or key_of == "steps" else shapes[name]
                found[key] = move.into(one.new_zeros(shape), one)
        return found


def _by_scenario(name: str, old: Tensor, new: Tensor, scenarios: tuple[int, int]) -> Moved:
    before, after = scenarios
    if old.dim() == new.dim():
        axes = [axis for axis, (a, b) in enumerate(zip(old.shape, new.shape, strict=True)) if a != b]
        if len(axes) == 1 and old.shape[axes[0]] * after == new.shape[axes[0]] * before:
            return Moved(axes[0], torch.arange(old.shape[axes[0]]))
    raise ConfigError(
        f"{name!r} is {list(old.shape)} and would become {list(new.shape)}: this model cannot grow by "
        f"{after - before} scenarios and new values. Fit again with all rows."
    )
