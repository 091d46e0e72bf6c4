"""Small layouts and random batches that cover every kind of feature."""

import torch

from polyrec.batch import Batch, Field, Jagged, Layout, Number
from polyrec.errors import ConfigError
from polyrec.schema import Task


def example_layout(scenarios: int = 3, *, sequences: bool = True, vectors: bool = True) -> Layout:
    """Click, then buy; users, items and a context; two widths; a shared table; numbers with and without bounds.

    Example:
        >>> example_layout(2).scenarios
        ('s0', 's1')
    """
    return Layout(
        scenarios=tuple(f"s{place}" for place in range(scenarios)),
        tasks=(Task("click", "is_click"), Task("buy", "is_buy", after="click")),
        categorical=(
            Field("user", 23, "user"),
            Field("item", 31, "item"),
            Field("brand", 11, "item", dim=5),
            Field("hour", 26, "context"),
        ),
        numeric=(Number("price", "item"), Number("age", "user", unit=True), Number("age?", "user", unit=True)),
        sequences=(
            (Field("history", 31, "user", table="item", max_length=4), Field("tags", 13, "item", max_length=4))
            if sequences
            else ()
        ),
        vectors=(Number("image", "item", size=6),) if vectors else (),
    )


def random_batch(layout: Layout, rows: int, seed: int = 0, *, unknown: float = 0.0) -> Batch:
    """Random rows that fit the layout, labels that keep to the funnel, some of them not observed.

    Args:
        layout: what the batch holds.
        rows: B, may be 0.
        seed: equal seeds give equal batches.
        unknown: share of rows whose scenario is unknown (-1).

    Raises:
        ConfigError: rows is negative.

    Example:
        >>> batch = random_batch(example_layout(), 5)
        >>> len(batch), batch.ids.shape
        (5, torch.Size([5, 4]))
    """
    if rows < 0:
        raise ConfigError(f"rows = {rows}: a batch has 0 rows or more.")
    random = torch.Generator().manual_seed(seed)
    ids = [torch.randint(0, one.size, (rows,), generator=random, dtype=torch.int32) for one in layout.categorical]
    numerics = [
        torch.rand(rows, generator=random) if one.unit else torch.randn(rows, generator=random)
        for one in layout.numeric
    ]
    scenario = torch.randint(0, len(layout.scenarios), (rows,), generator=random)
    scenario[torch.rand(rows, generator=random) < unknown] = -1
    labels = torch.stack([(torch.rand(rows, generator=random) < 0.5).float() for _ in layout.tasks], 1)
    for place, task in enumerate(layout.tasks):
        if task.after is not None and task.strict:
            labels[:, place] *= labels[:, layout.task_index(task.after)]
    observed = torch.rand(labels.shape, generator=random) < 0.9
    return Batch(
        layout=layout,
        ids=torch.stack(ids, 1) if ids else torch.zeros(rows, 0, dtype=torch.int32),
        numerics=torch.stack(numerics, 1) if numerics else torch.zeros(rows, 0),
        scenario=scenario,
        labels=labels * observed,
        observed=observed,
        weight=torch.ones(rows),
        user=torch.randint(0, 1000, (rows,), generator=random),
        sequences={one.name: _random_sequence(one, rows, random) for one in layout.sequences},
        vectors={one.name: torch.randn(rows, one.size, generator=random) for one in layout.vectors},
        item=torch.randint(0, 1000, (rows,), generator=random),
    )


def _random_sequence(one: Field, rows: int, random: torch.Generator) -> Jagged:
    lengths = torch.randint(0, (one.max_length or 4) + 1, (rows,), generator=random)
    offsets = torch.zeros(rows + 1, dtype=torch.int32)
    offsets[1:] = torch.cumsum(lengths, 0)
    values = torch.randint(0, one.size, (int(offsets[-1]),), generator=random, dtype=torch.int32)
    return Jagged(values, offsets)
