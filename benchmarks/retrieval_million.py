"""Search among a million vectors of 64 numbers: time to build, recall@100, queries a second, memory; one thread.

    .venv/bin/python benchmarks/retrieval_million.py --kinds ivf flat pq

Vectors of length 1 that 16 hidden factors and some noise make; queries are drawn alike. Ratios hold within a
run only.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from polyrec.evaluation.memory import peak_memory
from polyrec.retrieval import AnnOptions, Approximate, Exact, store

WIDTH, K = 64, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--kinds", nargs="+", default=["ivf"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    vectors, queries = data(options.items, options.queries)
    say(f"{len(vectors):,} x {WIDTH}, {len(queries)} queries, k = {K}, {options.threads} thread(s)")
    exact = Exact(vectors)
    true = exact.search(queries, K).places
    bare = min(timed(lambda: bare_search(vectors, queries)) for _ in range(3))
    ours = min(timed(lambda: exact.search(queries, K)) for _ in range(3))
    say(f"bare matmul + topk    {len(queries) / bare:8.1f} queries/s")
    say(f"exact                 {len(queries) / ours:8.1f} queries/s, {ours / bare:.2f} times the bare one's time")
    for kind in options.kinds:
        measure(kind, vectors, queries, true)
    say(f"peak memory {peak_memory():,.0f} MB (the vectors are {vectors.numel() * 4 / 2**20:,.0f} MB)")


def measure(kind: str, vectors: torch.Tensor, queries: torch.Tensor, true: torch.Tensor) -> None:
    start = time.perf_counter()
    index = Approximate(vectors, AnnOptions(kind=kind))
    built = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        store.write(index, Path(folder))
        size = (Path(folder) / store.FAISS).stat().st_size / 2**20
        start = time.perf_counter()
        mapped = store.read(Path(folder), verify=False)
        opened = time.perf_counter() - start
        for probes in (8, 32, None, 500) if kind in ("ivf", "pq") else (None,):
            index = Approximate(mapped.vectors, AnnOptions(kind=kind, probes=probes), mapped.index)
            found = index.search(queries, K).places
            spent = min(timed(lambda index=index: index.search(queries, K)) for _ in range(2))
            recall = (
                sum(len(set(a) & set(b)) for a, b in zip(true.tolist(), found.tolist(), strict=True)) / true.numel()
            )
            say(
                f"{kind:4} probes {probes or 'default':>7}  built {built:6.1f} s, opened {opened * 1e3:.0f} ms, "
                f"{size:,.0f} MB, recall@{K} {recall:.3f}, {len(queries) / spent:8.1f} queries/s"
            )


def data(items: int, queries: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    factors = torch.randn(16, WIDTH, generator=random) / 4.0

    def draw(count: int) -> torch.Tensor:
        made = torch.randn(count, 16, generator=random) @ factors + 0.3 * torch.randn(count, WIDTH, generator=random)
        return torch.nn.functional.normalize(made, dim=1)

    return draw(items), draw(queries)


def bare_search(vectors: torch.Tensor, queries: torch.Tensor) -> None:
    for part in queries.split(64):
        (part @ vectors.T).topk(K, 1)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
