"""How much any blend of what `pooled` knows could give to the target: the room that is left to a transfer of rows.

    python benchmarks/transfer.py --out runs/transfer --preset starved --target s5 --only pooled finetuned
    python benchmarks/transfer_ceiling.py --runs runs/transfer --preset starved --target s5 --seeds 0 1 2

The target's test rows are shown to the bundle of `pooled` as rows of each scenario. `asked as` the one that answers
best; `blend`: weights of the scenarios' logits, the same for all tasks, and a constant a task, that fit the test rows'
true probabilities best. Nobody can know either without the truth: they bound what reweighing scenarios could reach.
Mean AUC of three tasks and log-loss above the truth's own, in thousandths of a nat.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean

import polars as pl
import torch
from torch.nn import functional
from transfer import TRUTH, spread

from polyrec.artifact import Bundle
from polyrec.batch import Batch
from polyrec.config import DataConfig, Split
from polyrec.data.held import where
from polyrec.data.loader import Loader
from polyrec.data.simulate import judge
from polyrec.recipes.prepare import prepare
from polyrec.schema import ALL

Found = tuple[float, float]  # AUC, log-loss above the truth's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="the folder of transfer.py")
    parser.add_argument("--preset", default="starved")
    parser.add_argument("--target", default="s5")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[Found]] = {}
    for seed in options.seeds:
        for name, one in ceiling(options.runs, f"{options.preset}{seed}", options.target).items():
            found.setdefault(name, []).append(one)
            print(seed, name, f"AUC {one[0]:.4f}, {one[1]:.1f}", flush=True)
    print("\n| | AUC | less `finetuned` | log-loss | less `finetuned` |\n|---|---|---|---|---|")
    base = found["finetuned"]
    for name, all_seeds in found.items():
        cells = []
        for place, digits in ((0, 4), (1, 1)):
            values, others = [one[place] for one in all_seeds], [one[place] for one in base]
            gains = [a - b for a, b in zip(values, others, strict=True)]
            cells += [spread(values, digits), spread(gains, digits)]
        print(f"| {name} | {' | '.join(cells)} |")


def ceiling(runs: Path, world: str, target: str) -> dict[str, Found]:
    """Of one world: `pooled` as it is, asked as the best other scenario, blended, and trained on."""
    folder = runs / world
    split = Split(by="time", valid=0.1, test=0.25)
    prepared = prepare(DataConfig(str(folder / "schema.toml"), log=(str(folder / "log.parquet"),), split=split))
    names, test = prepared.encoder.layout.scenarios, prepared.splits.test
    assert test is not None
    place = names.index(target)
    loader = Loader(test, prepared.encoder, batch_size=8_192, shuffle_rows=65_536)
    rows = where(loader.ordered(), lambda batch: batch.scenario == place)
    truth = true_probabilities(folder, prepared.schema.keys.scenario, target, test.rows())
    logits = answers(Bundle.load(runs / f"{world}-{target}-pooled" / "bundle"), rows)  # [T, N, S]
    asked = {name: judged(logits[:, :, at], truth) for at, name in enumerate(names) if at != place}
    known = json.loads((runs / f"{world}-{target}-finetuned" / "transfer.json").read_text())
    return {
        "pooled, as it is": judged(logits[:, :, place], truth),
        "asked as the best other": max(asked.values()),
        "best blend": judged(blended(logits, truth), truth),
        "finetuned": (mean(known["auc"].values()), mean(known["excess"].values())),
    }


def true_probabilities(folder: Path, scenario: str, target: str, rows: int) -> torch.Tensor:
    """[T, N], of the target's rows among the last `rows`."""
    truth = pl.read_parquet(folder / "truth.parquet", columns=list(TRUTH.values()))[-rows:]
    where_ = pl.read_parquet(folder / "log.parquet", columns=[scenario])[-rows:].to_series() == target
    return torch.from_numpy(truth.filter(where_).select(list(TRUTH.values())).to_numpy().T.copy()).double()


@torch.inference_mode()
def answers(bundle: Bundle, rows: Batch) -> torch.Tensor:
    """Logits of the rows as rows of each scenario."""
    found = []
    for place in range(len(rows.layout.scenarios)):
        logits: Mapping = bundle.logits(replace(rows, scenario=torch.full_like(rows.scenario, place)))
        by_task = {one.task: logit for one, logit in logits.items() if one.space == ALL}
        found.append(torch.stack([by_task[task].double() for task in TRUTH]))
    return torch.stack(found, 2)


def blended(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The blend of least cross-entropy to the true probabilities: [T, N]."""
    logits = logits.clone()
    weights = torch.full((logits.shape[2],), 1 / logits.shape[2], dtype=torch.float64, requires_grad=True)
    constants = torch.zeros(len(logits), 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, constants], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.binary_cross_entropy_with_logits(logits @ weights + constants, truth)
        value.backward()
        return value

    optimizer.step(loss)
    return (logits @ weights + constants).detach()


def judged(logit: torch.Tensor, truth: torch.Tensor) -> Found:
    found = [judge(torch.sigmoid(one).numpy(), p.numpy()) for one, p in zip(logit, truth, strict=True)]
    return mean(one.auc for one in found), mean(1000 * (one.log_loss - one.least) for one in found)


if __name__ == "__main__":
    main()
