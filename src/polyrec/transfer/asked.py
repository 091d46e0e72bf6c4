"""A model asked about rows that are held in memory: block by block, on the device where it is."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from polyrec.batch import Batch, Output

BLOCK = 8_192


def asked(model: Callable[[Batch], Output], rows: Batch) -> Iterator[tuple[Output, Batch]]:
    """The answers, block after block, each with its rows; both lie where the model does.

    Example:
        >>> from polyrec.testing import example_layout, random_batch
        >>> rows = random_batch(example_layout(), 10_000)
        >>> [len(batch) for _, batch in asked(lambda batch: Output({"click": batch.weight}), rows)]
        [8192, 1808]
    """
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    for at in range(0, len(rows), BLOCK):
        batch = rows.select(torch.arange(at, min(at + BLOCK, len(rows))))
        batch = batch if first is None else batch.to(first.device)
        yield model(batch), batch


def widths(model: Callable[[Batch], Output], rows: Batch) -> dict[str, int]:
    """The width of each hidden state."""
    for output, _ in asked(model, rows.select(torch.arange(min(2, len(rows))))):
        return {name: one.shape[-1] for name, one in output.hidden.items()}
    return {}
