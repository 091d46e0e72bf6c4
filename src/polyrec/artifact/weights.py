"""A module's state as a safetensors file; what several processes hold of it is gathered a block at a time."""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from polyrec.nn.sharded import sharded
from polyrec.shapes import Tensor

_KINDS = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save(module: nn.Module, path: Path) -> None:
    """Write a module's state. Of sharded tables the whole rows are written, and no more than a block of them is held.

    The format: 8 bytes that say how long the header is, a JSON header of kinds, shapes and places, and the numbers.
    """
    state = {name: one.detach().cpu().contiguous() for name, one in module.state_dict().items()}
    tables = sharded(module)
    if not tables:
        save_file(state, path)
        return
    shapes = {name: list(one.shape) for name, one in state.items()}
    shapes |= {name: [one.rows, one.dim] for name, one in tables.items()}
    header, at = {}, 0
    for name in sorted(state, key=lambda name: -state[name].element_size()):  # so that each begins at a multiple
        end = at + prod(shapes[name]) * state[name].element_size()
        header[name] = {"dtype": _KINDS[state[name].dtype], "shape": shapes[name], "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in header:
            parts: Iterator[Tensor] = tables[name].blocks() if name in tables else iter([state[name]])
            for part in parts:
                file.write(part.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
