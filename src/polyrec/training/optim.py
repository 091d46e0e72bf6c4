"""One optimizer for a model and its objective: row-wise Adagrad for sparse tables, Adam for the rest."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from polyrec.config import TrainingConfig
from polyrec.errors import NotReadyError
from polyrec.nn.embedding import Table
from polyrec.shapes import Tensor
from polyrec.training.rowwise import RowwiseAdagrad
from polyrec.training.schedule import factor


class Optimizer:
    """Steps every trainable parameter of some modules.

    Tables whose gradients are sparse go to `RowwiseAdagrad` with `table_lr` and `table_decay`; everything else
    to Adam with `lr` and `weight_decay` (L2, added to the gradient as Adam's paper has it). With
    `tables = "dense"` no table is sparse, and Adam steps whole tables.

    Args:
        modules: by name; parameters are named `module.parameter`.
        config: rates, decay, clipping, schedule.
        steps: planned steps, which the schedule spreads over.
    """

    def __init__(self, modules: Mapping[str, nn.Module], config: TrainingConfig, steps: int) -> None:
        self.config = config
        self.steps = steps
        sparse = {id(one.weight) for module in modules.values() for one in _tables(module) if one.sparse}
        named = {
            f"{prefix}.{name}": parameter
            for prefix, module in modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self.dense = {name: one for name, one in named.items() if id(one) not in sparse}
        self.sparse = {name: one for name, one in named.items() if id(one) in sparse}
        self.adam = (
            torch.optim.Adam(self.dense.values(), config.lr, weight_decay=config.weight_decay, fused=True)
            if self.dense
            else None
        )
        self.rowwise = RowwiseAdagrad(self.sparse.values(), config.table_lr, config.table_decay)

    def step(self, number: int) -> None:
        """Step everything by the rates of step `number` (from 0), then forget all gradients."""
        share = factor(self.config, number, self.steps)
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.dense.values(), self.config.clip)
        if self.adam is not None:
            self.adam.param_groups[0]["lr"] = share * self.config.lr
            self.adam.step()
            self.adam.zero_grad(set_to_none=True)
        self.rowwise.step(share)

    def state(self) -> dict[str, Tensor]:
        """Moments and accumulators by name."""
        found = {f"sum/{name}": one for name, one in zip(self.sparse, self.rowwise.sums, strict=True)}
        if self.adam is not None:
            for name, parameter in self.dense.items():
                for key, value in self.adam.state.get(parameter, {}).items():
                    found[f"{key}/{name}"] = value
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave.

        Raises:
            NotReadyError: it belongs to other parameters.
        """
        kept: dict[str, dict[str, Any]] = {}
        for key, value in state.items():
            kind, _, name = key.partition("/")
            kept.setdefault(name, {})[kind] = value
        strangers = sorted(set(kept) - {*self.dense, *self.sparse})
        if strangers:
            raise NotReadyError(
                f"the checkpoint's optimizer knows parameter {strangers[0]!r}, this model does not. "
                "Resume with the run file that the run was started with."
            )
        for name, sums in zip(self.sparse, self.rowwise.sums, strict=True):
            sums.copy_(kept[name]["sum"])
        if self.adam is not None:
            for name, parameter in self.dense.items():
                if name in kept:
                    self.adam.state[parameter] = {key: value.clone() for key, value in kept[name].items()}


def _tables(module: nn.Module) -> Iterable[Table]:
    return (one for one in module.modules() if isinstance(one, Table))
