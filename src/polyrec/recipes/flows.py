"""What a selection of flows is worth: how many rows keep each, and what cutting or returning one does to AUC."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from polyrec.batch import Batch, Layout, Output
from polyrec.evaluation import collect
from polyrec.metrics.binary import auc
from polyrec.nn.flows import FLOWS
from polyrec.nn.selector import Pruning
from polyrec.objectives import Objective
from polyrec.schema import Target
from polyrec.shapes import Bool, Float, Tensor

_AUCs = dict[tuple[str, Target], float]
ROWS = 200_000  # looked at, from the first on: every flow is tried twice


def flow_report(
    model: nn.Module, objective: Objective, layout: Layout, rows: Callable[[], Iterable[Batch]]
) -> list[dict[str, Any]]:
    """One entry for each scenario, head and flow; none for a model that selects no flows.

    `kept`: share of the scenario's rows that keep the flow. `auc_change`: what the AUC of the head's target becomes
    when most rows keep the flow and it is cut for all of them, or most prune it and it is returned to all, less the
    AUC as it is. Null where the head answers no target of its own, or the AUC is undefined.

    Args:
        model: its last stage's.
        objective: reads its heads.
        layout: names scenarios and targets.
        rows: the rows to judge on, from the first on, at each call.
    """
    gates = [one for one in model.modules() if isinstance(one, Pruning)]
    if not gates:
        return []
    shares = _shares(model, rows)
    if not shares:
        return []
    plain = _aucs(model, objective, rows)
    found: list[dict[str, Any]] = []
    for place, flow in enumerate(FLOWS):
        forced = {}
        for value in (0.0, 1.0):
            with _forced(gates[0], place, value):
                forced[value] = _aucs(model, objective, rows)
        for (scenario, head), share in shares.items():
            kept = float(share[place])
            name, target = layout.scenarios[scenario], _target(layout, head)
            other = forced[1.0 if kept > 0.5 else 0.0]
            change = _difference(other, plain, name, target)
            found.append({"scenario": name, "head": head, "flow": flow, "kept": round(kept, 6), "auc_change": change})
    return found


def _difference(one: _AUCs, other: _AUCs, scenario: str, target: Target | None) -> float | None:
    if target is None or (scenario, target) not in one or (scenario, target) not in other:
        return None
    return round(one[scenario, target] - other[scenario, target], 6)


def _batches(rows: Callable[[], Iterable[Batch]]) -> Iterator[Batch]:
    seen = 0
    for batch in rows():
        if seen >= ROWS:
            return
        seen += len(batch)
        yield batch


@torch.inference_mode()
def _shares(model: nn.Module, rows: Callable[[], Iterable[Batch]]) -> dict[tuple[int, str], Float[np.ndarray, "J"]]:
    """Share of rows that keep each flow, by scenario and head, where the scenario has rows."""
    total: dict[tuple[int, str], np.ndarray] = {}
    count: dict[int, int] = {}
    device = next(model.parameters()).device
    for batch in _batches(rows):
        output: Output = model(batch.to(device))
        for scenario in torch.unique(batch.scenario).tolist():
            mine = batch.scenario == scenario
            count[scenario] = count.get(scenario, 0) + int(mine.sum())
            for name, prune in output.hidden.items():
                if name.startswith("prune/"):
                    key = (scenario, name.removeprefix("prune/"))
                    total[key] = total.get(key, np.zeros(len(FLOWS))) + _kept(prune, mine)
    return {key: one / count[key[0]] for key, one in total.items() if key[0] >= 0}


def _kept(prune: Float[Tensor, "B J"], mine: Bool[Tensor, "B"]) -> Float[np.ndarray, "J"]:
    found: np.ndarray = (1 - prune[mine.to(prune.device)]).double().sum(0).cpu().numpy()
    return found


def _aucs(model: nn.Module, objective: Objective, rows: Callable[[], Iterable[Batch]]) -> _AUCs:
    device = next(model.parameters()).device
    collected = collect.run(lambda batch: objective.predict(model(batch.to(device))), _batches(rows), model=model)
    found = {}
    for target in collected.targets:
        for place, name in enumerate(collected.scenarios):
            inside = collected.inside[target] & (collected.scenario == place)
            value = auc(collected.logits[target][inside], collected.labels[target][inside]).value
            if value is not None:
                found[name, target] = value
    return found


def _target(layout: Layout, head: str) -> Target | None:
    """What a head that is called as a task answers: the task in its own space."""
    task = next((one for one in layout.tasks if one.name == head), None)
    return None if task is None else Target(head, task.after) if task.after else Target(head)


@contextmanager
def _forced(gate: Pruning, place: int, value: float) -> Iterator[None]:
    """While it lasts, one flow is cut (1) or returned (0) for all rows."""

    def change(module: nn.Module, inputs: Any, gates: Tensor) -> Tensor:
        del module, inputs
        return torch.cat([gates[..., :place], torch.full_like(gates[..., :1], value), gates[..., place + 1 :]], -1)

    handle = gate.register_forward_hook(change)
    try:
        yield
    finally:
        handle.remove()
