"""Two programs without polyrec's training code.

`reference`: what one writes by hand for speed: batches of tensors in memory, one lookup for all fields, experts as one
batched product, each scenario's network on its own rows, sparse gradients with row-wise Adagrad, fused Adam.
`naive`: the usual way: a table for each field, one module after another, every scenario's network on every row, Adam
over whole tables, a DataLoader that takes row after row.
"""

import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from networks import Network, Weights, split
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

LR, TABLE_LR = 1e-3, 0.01
TABLE, SCENARIO = "inputs.embedding.tables.16.weight", "inputs.scenario"


def loss(logits: Tensor, labels: Tensor, start: Tensor) -> Tensor:
    """Cross-entropy of clicks, and of buys where there was a click; both over the rows of the batch."""
    each = functional.binary_cross_entropy_with_logits(logits + start[:, None], labels.T, reduction="none")
    return each[0].mean() + (each[1] * labels[:, 0]).mean()


class Reference:
    """Batches of (ids `[B, F]` with each field's start added, scenario, labels)."""

    def __init__(self, network: Network, weights: Weights, start: Tensor) -> None:
        self.network, self.start = deepcopy(network), start
        self.weights = {name: one.detach().clone().requires_grad_() for name, one in weights.items()}
        self.table = self.weights[TABLE]
        self.sums = torch.zeros(len(self.table))
        self.adam = torch.optim.Adam([one for name, one in self.weights.items() if name != TABLE], lr=LR, fused=True)

    def logits(self, ids: Tensor, scenario: Tensor) -> Tensor:
        w = {name: split(self.network, name, one) for name, one in self.weights.items()}
        x = functional.embedding(ids, self.table, sparse=True).flatten(1)
        order = torch.argsort(scenario, stable=True)
        sizes = torch.bincount(scenario).tolist()
        x = x[order]
        if self.network.scenario:
            x = torch.cat([x, functional.embedding(scenario[order], w[SCENARIO])], 1)
        h = self.network.shared(w, x, apart=False)
        parts = [self.network.own(w, s, rows, None) for s, rows in enumerate(torch.split(h, sizes)) if len(rows)]
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        return torch.cat(parts, 1)[:, back]

    def step(self, ids: Tensor, scenario: Tensor, labels: Tensor) -> Tensor:
        total = loss(self.logits(ids, scenario), labels, self.start)
        total.backward()
        self.adam.step()
        self.adam.zero_grad()
        with torch.no_grad():
            grad = self.table.grad
            rows, place = torch.unique(grad._indices()[0], return_inverse=True)
            found = torch.zeros(len(rows), self.table.shape[1]).index_add_(0, place, grad._values())
            self.sums[rows] += found.square().mean(1)
            self.table[rows] -= TABLE_LR * found / (self.sums[rows].sqrt() + 1e-8)[:, None]
            self.table.grad = None
        return total.detach()

    def run(self, batches: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[list[float], float]:
        """Each step's loss, and rows a second."""
        started = time.perf_counter()
        losses = [self.step(*batch) for batch in batches]
        rows = sum(len(batch[1]) for batch in batches)
        return [float(one) for one in losses], rows / (time.perf_counter() - started)


class Rows(Dataset):
    """One row after another, as dictionaries."""

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["scenario"])

    def __getitem__(self, row: int) -> dict[str, np.generic]:
        return {name: values[row] for name, values in self.columns.items()}


class Naive:
    def __init__(
        self, network: Network, weights: Weights, start: Tensor, starts: Sequence[int], sizes: Sequence[int]
    ) -> None:
        self.network, self.start = deepcopy(network), start
        self.weights: dict[str, Any] = {}
        leaves = []
        for name, one in weights.items():
            if name != TABLE:
                parts = split(network, name, one.detach())
                mine = [part.clone().requires_grad_() for part in ([parts] if isinstance(parts, Tensor) else parts)]
                self.weights[name] = mine[0] if isinstance(parts, Tensor) else mine
                leaves.extend(mine)
        whole = weights[TABLE].detach()
        self.tables = [whole[a : a + n].clone().requires_grad_() for a, n in zip(starts, sizes, strict=True)]
        self.adam = torch.optim.Adam([*self.tables, *leaves], lr=LR)
        self.scenarios = len(self.weights[SCENARIO]) if network.scenario else None

    def step(self, batch: dict[str, Tensor], fields: Sequence[str], scenarios: int) -> Tensor:
        w, scenario = self.weights, batch["scenario"]
        parts = [functional.embedding(batch[name], table) for name, table in zip(fields, self.tables, strict=True)]
        if self.network.scenario:
            parts.append(functional.embedding(scenario, w[SCENARIO]))
        h = self.network.shared(w, torch.cat(parts, 1), apart=True)
        logits = torch.zeros(2, len(scenario))
        for s in range(scenarios):
            mine = scenario == s
            logits = torch.where(mine, self.network.own(w, s, h, mine), logits)
        total = loss(logits, torch.stack([batch["click"], batch["buy"]], 1), self.start)
        self.adam.zero_grad()
        total.backward()
        self.adam.step()
        return total.detach()

    def run(
        self, rows: Rows, fields: Sequence[str], scenarios: int, batch: int, steps: int
    ) -> tuple[list[float], float]:
        losses, count, started = [], 0, 0.0
        for place, one in enumerate(_batches(rows, batch)):
            if place == 1:  # the first step also makes room for Adam's moments
                started = time.perf_counter()
            losses.append(float(self.step(one, fields, scenarios)))
            count += len(one["scenario"]) * (place > 0)
            if place == steps:
                break
        return losses, count / (time.perf_counter() - started)


def _batches(rows: Rows, batch: int) -> Iterator[dict[str, Tensor]]:
    yield from DataLoader(rows, batch_size=batch)
