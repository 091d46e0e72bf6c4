"""What every cell imports, loaded once in the process that cells are forked from; it starts no thread."""

import torch

import polyrec.bench.process  # noqa: F401

torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # its first use imports a fifth of torch
