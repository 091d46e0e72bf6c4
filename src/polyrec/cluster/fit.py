"""Training on a Ray cluster: Ray Train's `TorchTrainer` around the training function of `polyrec fit`."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from polyrec.cluster.beside import beside
from polyrec.cluster.connect import connected
from polyrec.cluster.count import counting
from polyrec.config import DataConfig, RunConfig
from polyrec.data.fit import Find
from polyrec.data.split import split
from polyrec.data.vocabulary import Vocabulary
from polyrec.distributed.join import joined, limit
from polyrec.errors import ConfigError, NotReadyError, PolyrecError
from polyrec.progress import Progress
from polyrec.recipes.assemble import device_of, resolve
from polyrec.recipes.fit import fit as train
from polyrec.recipes.fit import fitted
from polyrec.recipes.folder import RunFolder
from polyrec.schema import Schema


def fit(
    run: RunConfig,
    out: str | Path,
    *,
    workers: int,
    retries: int = 0,
    resume: bool = False,
    only_validate: bool = False,
    log: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> RunFolder:
    """Train as `polyrec.recipes.fit.fit` does, in `workers` processes that Ray starts and joins.

    Before that as many workers, of one CPU each, count the values of the training rows; see `polyrec.cluster.count`.
    One that trains has as many CPUs as `training.threads` says (1 where unset), and a GPU where a stage trains on one.

    Args:
        run: what to train.
        out: a folder that every machine sees, under the same path.
        workers: the processes, which share each batch; what is learned is what `--processes` of that number learns.
        retries: how often Ray starts all of them anew when one of them fails. They go on from the last checkpoint.
        resume: go on with the run in `out`.
        only_validate: see `polyrec.recipes.fit.fit`.
        log: told in a line what a person should know meanwhile.
        progress: told how many rows are counted.

    Raises:
        NotReadyError: Ray is not installed or not reached, or a worker died and no retry is left.
        ConfigError: `out` holds something else, or another command with `--ray` is at work on it.
        PolyrecError: what a worker refuses.

    Example:
        ```python
        folder = fit(RunConfig.load("run.toml"), "runs/mmoe", workers=8, retries=3)
        ```
    """
    if retries < 0:
        raise ConfigError(f"--retries {retries} must be at least 0.")
    folder, run = RunFolder(Path(out).resolve()), run.rooted(Path.cwd())  # a worker has a folder of its own
    cpus = int(run.training.get("threads") or 1)
    with beside(folder.path) as own:  # every machine must see it, too
        folder.check(resolve(run), resume)
        told = {"run": run, "out": str(folder.path), "validate": only_validate, "device": device_of(run)}
        with connected(workers, cpus, int(_cuda(told)), log) as ray:
            from ray.train import TrainingFailedError

            try:
                if fitted(run, folder) is None:
                    told["vocabulary"] = _counted(run.data, own, counting(ray, own / "counts", workers), progress)
                _trainer(told, own, workers, cpus, retries).fit()
            except TrainingFailedError as reason:
                raise _told(reason, retries) from reason
    return folder


def _counted(data: DataConfig, own: Path, find: Find, progress: Progress | None) -> Path:
    """The vocabulary, in a folder of its own."""
    schema = Schema.load(data.schema)
    vocabulary = Vocabulary.fit(schema, split(data, schema).train, progress, find)
    vocabulary.save(own / "vocabulary")
    shutil.rmtree(own / "counts", ignore_errors=True)
    return own / "vocabulary"


def _trainer(told: dict[str, Any], own: Path, workers: int, cpus: int, retries: int) -> Any:
    """Ray's, around `_work`."""
    from ray.train import FailureConfig, LoggingConfig, ScalingConfig
    from ray.train import RunConfig as Told
    from ray.train.torch import TorchConfig, TorchTrainer

    cuda = _cuda(told)
    return TorchTrainer(
        _work,
        train_loop_config=told,
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if cuda else "gloo", timeout_s=int(limit())),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=cuda, resources_per_worker={"CPU": cpus, **({"GPU": 1} if cuda else {})}
        ),
        run_config=Told(
            name="run",
            storage_path=str(own),
            failure_config=FailureConfig(max_failures=retries),
            logging_config=LoggingConfig(log_level="CRITICAL"),
        ),
    )


def _cuda(told: dict[str, Any]) -> bool:
    return str(told["device"]).startswith("cuda")


def _work(told: dict[str, Any]) -> None:
    """One worker, in Ray's process group. Every attempt goes on with what there is: the folder was looked at before."""
    with joined(told["device"]) as here:
        log = _log if here.leads else None
        given = {"vocabulary": told.get("vocabulary"), "only_validate": told["validate"]}
        train(told["run"], told["out"], resume=True, log=log, **given)


def _log(text: str) -> None:
    sys.stderr.write(text + os.linesep)  # Ray shows it where the run was started
    sys.stderr.flush()


def _told(reason: Exception, retries: int) -> PolyrecError:
    """The first cause, as one of our errors: what a worker refused, else that it died."""
    failures: dict[int, Exception] = getattr(reason, "worker_failures", {})
    causes = {rank: getattr(one, "_base_exc", one) for rank, one in failures.items()}
    ours = [one for _, one in sorted(causes.items()) if isinstance(one, PolyrecError)]
    first = next((one for one in ours if not isinstance(one, NotReadyError)), None)
    if first is not None:
        return first
    if ours and len(ours) == len(causes):
        return ours[0]
    rank, cause = next(
        ((rank, one) for rank, one in sorted(causes.items()) if not isinstance(one, PolyrecError)), (-1, reason)
    )
    who = f"worker {rank} of the run" if rank >= 0 else "the run"
    tried = f", {retries} times over" if retries else ""
    text = (str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip(".")
    return NotReadyError(
        f"{who} failed{tried} ({type(cause).__name__}: {text[:200]}). Run the same command again with --resume to go "
        "on from the last checkpoint; --retries N lets Ray do that by itself."
    )
