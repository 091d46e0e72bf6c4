import os
import subprocess
import sys

import pytest

from polyrec import allocator

FAULTS = """
import resource, sys
import torch
from polyrec.allocator import keep_freed
print(keep_freed() if sys.argv[1] == "keep" else False)
x = torch.rand(4096, 1024)
weights = [torch.rand(1024, requires_grad=True) for _ in range(3)]
def step():
    h = x
    for weight in weights:
        h = torch.relu(h * weight)  # 16 MB each
    h.sum().backward()
for _ in range(10):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="thresholds are glibc's: nothing to set here")
def test_freed_blocks_are_used_again_without_new_pages():
    free = {name: value for name, value in os.environ.items() if name not in allocator._CHOSEN}
    done = [
        subprocess.run([sys.executable, "-c", FAULTS, how], env=free, capture_output=True, text=True, check=True)
        for how in ("leave", "keep", "keep")
    ]
    (_, without), *kept = (one.stdout.split() for one in done)
    if kept[0][0] != "True":
        pytest.skip("the C library has no mallopt")
    assert min(int(faults) for _, faults in kept) < 0.25 * int(without)  # the heap may still grow in one of them


def test_an_allocator_chosen_by_the_environment_is_left_alone(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not allocator.keep_freed()
