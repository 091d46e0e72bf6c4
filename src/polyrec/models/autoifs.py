"""Information flows through shared and low-rank units of scenario and task, the harmful ones pruned by data.

Four units make four flows for each row and head m: shared or own scenario unit, then shared or own task unit. A
selection network, which reads the embeddings without training them, has a gate for each flow; 1 prunes it.

    h = MLP(x);  s, p, u = through the scenario units: shared alone, the scenario's own alone, both added
    T, L^m, T + L^m: through the task units: shared alone, the head's own alone, both added
    subtract:   logit^m = (T + L^m)(relu(u)) - sum_j g_j flow_j,  flows T(s), L^m(p), L^m(s), T(p)
    select:     logit^m = b^m + sum_j (1 - g_j) flow_j,           flows of relu(s) and relu(p)
    increment:  logit^m = b^m + sum_j (1 - g_j) flow_j,           flows F00, F11 - F10 - F01 + F00, F01 - F00, F10 - F00
                with F_ab = (T + b L^m)(relu(a ? u : s)): each flow is what its units add; all four make the full net

A row of unknown scenario passes through the shared scenario unit alone. In `select` and `increment` the flow that the
selection wants most is kept whatever its gate says: a head without flows would say the same of every row.

Source: Yang et al. 2026, "AutoIFS" (WSDM 2026, arXiv 2512.13396); `subtract` is the published form, `select` and
`increment` are ours, as are stacks of any depth, gates by cell, and any number of scenarios and tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.errors import ConfigError, unknown
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Count, Hidden, InputOptions, Inputs, Rate, Widths
from polyrec.models.registry import register
from polyrec.nn.flows import FLOWS, ScenarioUnits, Stream, Streams, TaskUnits
from polyrec.nn.mlp import MLP
from polyrec.nn.route import Route
from polyrec.nn.selector import CellSelector, Pruning, RowSelector
from polyrec.shapes import Float, Int, Tensor

_STREAMS: dict[str, tuple[Stream, ...]] = {
    "subtract": ("shared", "own", "full"),
    "select": ("shared", "own"),
    "increment": ("shared", "full"),
}


@dataclass(frozen=True, slots=True)
class AutoIFSConfig(InputOptions):
    """Options of `autoifs`."""

    widths: Hidden = (256, 128)  # the bottom that all rows share
    scenario_widths: Hidden = (64,)  # layers of shared and own scenario units
    task_widths: Widths = ()  # layers of shared and own task units, before the logit
    rank: Count = 4  # R of own units
    dropout: Rate = 0.0  # in the bottom
    fusion: Literal["subtract", "select", "increment"] = "increment"
    gates: Literal["soft", "straight", "hard", "open"] = "soft"  # search, retraining, or no selection
    selector: Literal["cell", "row"] = "cell"  # a gate for each scenario and head, or a network that reads the row
    selector_widths: Hidden = (128, 64)  # of that network
    price: float = 0.0  # of a kept flow, in the loss; negative: of a pruned one
    peak: Annotated[float, Gt(0)] = 100.0  # temperature at the end of the search
    anneal: Literal["epoch", "step"] = "epoch"  # when the temperature rises
    wait: Annotated[float, Ge(0), Lt(1)] = (
        0.0  # share of the search before gates move: flows must have learned something
    )
    scenario_feature: bool = True  # whether the scenario is a feature that shared units read, too
    adapters: tuple[str, ...] | None = None  # scenarios with units of their own; unset: all


@register("autoifs", AutoIFSConfig)
class AutoIFS(nn.Module):
    """Units, flows, gates and fusion; the selection network keeps its own embeddings once gates are hard.

    Hidden: `bottom` [B, H], and for each head `prune/<head>` [B, 4], the gates in the order of `FLOWS`.
    """

    adapter: Int[Tensor, "S"]

    def __init__(self, layout: Layout, heads: Sequence[str], config: AutoIFSConfig) -> None:
        super().__init__()
        self.heads, self.config = checked(heads), config
        self._priced = bool(config.price) and config.gates in ("soft", "straight")
        own = _own(layout, config)
        self.adapters = len(own)
        place = [own.index(name) if name in own else -1 for name in layout.scenarios]
        self.register_buffer("adapter", torch.tensor(place), persistent=False)
        self.inputs = Inputs(layout, config, scenario=config.scenario_feature)
        self.bottom = MLP(self.inputs.width, config.widths, dropout=config.dropout)
        self.scenario = ScenarioUnits(
            self.bottom.width,
            config.scenario_widths,
            len(own),
            rank=config.rank,
            streams=_STREAMS[config.fusion],
            live=config.fusion == "select",  # relu has no slope at 0, and no other path leads there
        )
        self.task = TaskUnits(config.scenario_widths[-1], config.task_widths, heads=len(self.heads), rank=config.rank)
        self.bias = nn.Parameter(torch.zeros(len(self.heads), 1)) if config.fusion != "subtract" else None
        self.selector = (
            Selection(layout, len(self.heads), self.inputs.width, config) if config.gates != "open" else None
        )

    def forward(self, batch: Batch) -> Output:
        """One logit a row and head."""
        place = torch.where(batch.scenario < 0, -1, self.adapter[batch.scenario.clamp(min=0).long()])
        route = Route(place, self.adapters, unknown="shared")
        x = self.inputs(batch, route.order)  # [B, W]
        h = self.bottom(x)
        gates = self._gates(batch, route, place, x)  # [T, B, 4]
        logits = self._fused(self.scenario(h, route), gates)  # [T, B]
        logits, gates = route.restore(logits[..., None])[..., 0], route.restore(gates)
        hidden = {"bottom": route.restore(h[None])[0]}
        hidden |= {f"prune/{head}": gate for head, gate in by_head(self.heads, gates).items()}
        # The flow through shared units alone is free: it is there whatever a scenario or a task owns.
        priced = self._priced and len(batch)
        price = self.config.price * (1 - gates[..., 1:]).mean((1, 2)).sum() if priced else None
        return Output(by_head(self.heads, logits), hidden, {} if price is None else {"kept flows": price})

    def _gates(self, batch: Batch, route: Route, place: Tensor, x: Tensor) -> Float[Tensor, "T B J"]:
        """What each row prunes; a row without units of its own has no own flows to fuse."""
        if self.selector is None:
            gates = x.new_zeros(len(self.heads), x.shape[0], len(FLOWS))
        else:
            gates = self.selector(batch, route.order, x)
        mine = (place if route.order is None else place[route.order]) >= 0  # [B]
        shared = torch.tensor([flow.startswith("shared") for flow in FLOWS], device=mine.device)
        left_out = 0.0 if self.config.fusion == "subtract" else 1.0
        return torch.where(mine[:, None] | shared, gates, left_out)

    def _fused(self, streams: Streams, gates: Float[Tensor, "T B J"]) -> Float[Tensor, "T B"]:
        shared, own, full = streams
        assert shared is not None
        if self.bias is None:
            assert own is not None
            assert full is not None
            return self.task.both(torch.relu(full)) - self._gated(self._plain(shared, own), gates)
        if self.config.fusion == "select":
            assert own is not None
            flows = self._plain(torch.relu(shared), torch.relu(own))
        else:
            assert full is not None
            flows = self._increments(torch.relu(shared), torch.relu(full) if self.adapters else None)
        return self.bias + self._gated(flows, 1 - gates)

    def _plain(self, shared: Float[Tensor, "B H"], own: Float[Tensor, "B H"]) -> tuple[Tensor, ...]:
        """Each flow through its own two units alone; those of all heads are [1, B]."""
        task = self.task
        return task.common(shared), task.each(own), task.each(shared), task.common(own)

    def _increments(self, shared: Float[Tensor, "B H"], full: Float[Tensor, "B H"] | None) -> tuple[Tensor, ...]:
        """Each flow as what its units add to the flows without them; without any adapter two of them are 0."""
        f00, f01 = self.task.common(shared), self.task.both(shared)
        if full is None:
            return f00, torch.zeros_like(f01), f01 - f00, torch.zeros_like(f00)
        f10, f11 = self.task.common(full), self.task.both(full)
        return f00, f11 - f10 - f01 + f00, f01 - f00, f10 - f00

    def _gated(self, flows: tuple[Tensor, ...], factor: Float[Tensor, "T B J"]) -> Float[Tensor, "T B"]:
        total = factor[..., 0] * flows[0]
        for place, flow in enumerate(flows[1:], 1):
            total = total + factor[..., place] * flow
        return total


class Selection(nn.Module):
    """The selection network behind its gates; what it reads is never trained through it."""

    def __init__(self, layout: Layout, heads: int, width: int, config: AutoIFSConfig) -> None:
        super().__init__()
        hard = config.gates == "hard"
        self.by_row = config.selector == "row"
        # With hard gates the network reads the embeddings that it was found with, whatever becomes of the model's.
        own_inputs = hard and self.by_row
        self.inputs = Inputs(layout, config, scenario=config.scenario_feature) if own_inputs else None
        self.network: nn.Module
        if self.by_row:
            self.network = RowSelector(width, config.selector_widths, heads=heads, flows=len(FLOWS))
        else:
            self.network = CellSelector(len(layout.scenarios), heads=heads, flows=len(FLOWS))
        kind: Literal["soft", "straight", "hard"] = "soft" if config.gates == "open" else config.gates
        # A head without any flow would say the same of every row; the published form has a rest even then.
        one = config.fusion != "subtract"
        self.gate = Pruning(kind, peak=config.peak, anneal=config.anneal, keep_one=one, wait=config.wait)

    def forward(self, batch: Batch, order: Tensor | None, x: Float[Tensor, "B W"]) -> Float[Tensor, "T B J"]:
        """Gates of rows in the order asked for."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.gate.kind != "hard"):
            if self.by_row:
                w = self.network(x.detach() if self.inputs is None else self.inputs(batch, order))
            else:
                w = self.network(batch.scenario if order is None else batch.scenario[order])
            gates: Tensor = self.gate(w)
        return gates


def _own(layout: Layout, config: AutoIFSConfig) -> tuple[str, ...]:
    """Scenarios with units of their own, in the order of the layout."""
    wanted = layout.scenarios if config.adapters is None else config.adapters
    for name in wanted:
        if name not in layout.scenarios:
            raise ConfigError(f"[model] adapters: {unknown('scenario', name, layout.scenarios, 'in the schema')}")
    return tuple(name for name in layout.scenarios if name in wanted)
