"""Checks that a model becomes a program whose number of rows is open."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.export import Dim, export

from polyrec.batch import Batch, Jagged, Layout
from polyrec.shapes import Tensor
from polyrec.testing.layouts import example_layout, random_batch
from polyrec.testing.subject import HEADS, Subject, gap, require, scores

NEAR = 1e-5
SCENARIOS = 20  # more than the rows of any batch here: most are absent


class _Program(nn.Module):
    """The model as a function of plain tensors."""

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.model, self.layout = model, layout

    def forward(self, tensors: dict[str, Any]) -> dict[str, Tensor]:
        scenario = tensors["scenario"]
        rows = scenario.shape[0]
        tasks = len(self.layout.tasks)
        batch = Batch(
            layout=self.layout,
            ids=tensors["ids"],
            numerics=tensors["numerics"],
            scenario=scenario,
            labels=torch.zeros(rows, tasks),
            observed=torch.zeros(rows, tasks, dtype=torch.bool),
            weight=torch.ones(rows),
            user=torch.zeros(rows, dtype=torch.int64),
            sequences={name: Jagged(*parts) for name, parts in tensors["sequences"].items()},
            vectors=tensors["vectors"],
        )
        logits: dict[str, Tensor] = dict(self.model(batch).logits)
        return logits


def exports_with_dynamic_rows(subject: Subject) -> None:
    """One exported program scores 0, 1, 2 and 7 rows, unknown scenarios among them, as the model itself does."""
    layout = example_layout(SCENARIOS)
    model = subject.stirred(layout)
    program = _exported(model, random_batch(layout, 5, seed=1, unknown=0.3))
    for rows in (0, 1, 2, 7):
        other = random_batch(layout, rows, seed=10 + rows, unknown=0.4)
        with torch.no_grad():
            found = program(_tensors(other))
        apart = gap(torch.stack([found[head] for head in HEADS]), scores(model, other))
        require(apart <= NEAR, f"the exported program differs by {apart:.1e} from the model at {rows} rows.")


def _exported(model: nn.Module, batch: Batch) -> Callable[..., dict[str, Tensor]]:
    try:
        whole = _Program(model, batch.layout)
        return export(whole, (_tensors(batch),), dynamic_shapes=(_shapes(batch.layout),), strict=False).module(
            check_guards=False  # a slice of offsets guards against one row, which is scored all the same
        )
    except Exception as reason:  # torch raises many kinds
        lines = str(reason).strip().splitlines() or [type(reason).__name__]
        raise AssertionError(f"torch.export cannot make a program of it with open rows: {lines[0]}") from reason


def _tensors(batch: Batch) -> dict[str, Any]:
    return {
        "ids": batch.ids,
        "numerics": batch.numerics,
        "scenario": batch.scenario,
        "sequences": {name: (one.values, one.offsets) for name, one in batch.sequences.items()},
        "vectors": dict(batch.vectors),
    }


def _shapes(layout: Layout) -> dict[str, Any]:
    rows = Dim("rows", min=1)
    return {
        "ids": {0: rows},
        "numerics": {0: rows},
        "scenario": {0: rows},
        "sequences": {one.name: ({0: Dim(f"values_{one.name}", min=0)}, {0: rows + 1}) for one in layout.sequences},
        "vectors": {one.name: {0: rows} for one in layout.vectors},
    }
