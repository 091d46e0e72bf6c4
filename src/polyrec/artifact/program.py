"""A bundle's ONNX program at work: probabilities without building the model."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyrec.artifact.golden import replay
from polyrec.artifact.manifest import Manifest
from polyrec.batch import Batch, Jagged
from polyrec.data.encode import Encoder
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import BundleError, NotReadyError
from polyrec.schema import Schema, Target
from polyrec.shapes import Float, Tensor

NAME = "program.onnx"
MOST_ROWS = 4096  # of one run: activations that stay in the cache
# Rows x scenarios of one run, where the program takes every row through every scenario of the run; beyond, rows
# of a scenario run on their own. Measured at 3, 30 and 300 scenarios: see docs/serving.md.
MIXED = 64


@dataclass(frozen=True)
class Program:
    """The same scores as `Bundle`, from onnxruntime; neither the model nor the objective is built.

    Example:
        ```python
        program = Program.load("bundle")
        probabilities = program.probabilities(program.encoder.encode_rows([{"user_id": 7, "tab": "home"}]))
        ```
    """

    manifest: Manifest
    schema: Schema
    encoder: Encoder
    session: Any  # onnxruntime.InferenceSession

    @staticmethod
    def can_run(folder: str | Path) -> bool:
        """Whether the bundle says that it has a program, and onnxruntime is there to run it."""
        there = importlib.util.find_spec("onnxruntime") is not None
        return there and Manifest.read(Path(folder), check=False).program is not None

    @classmethod
    def load(cls, folder: str | Path, threads: int = 1) -> "Program":
        """Read a bundle's program and replay its golden rows on it.

        Args:
            folder: the bundle.
            threads: that one run may use.

        Raises:
            BundleError: damaged, of another format, without a program, or scoring otherwise than when written.
            NotReadyError: onnxruntime is not installed.
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        if manifest.program is None or NAME not in manifest.files:
            raise BundleError(f"{folder} has no {NAME}. Make one with `polyrec export {folder} --out BUNDLE`.")
        schema = Schema.load(folder / "schema.json")
        encoder = Encoder(schema, Vocabulary.load(folder / "vocabulary"))
        program = cls(manifest, schema, encoder, open_session(folder / NAME, threads))
        replay(folder, encoder, program.probabilities)
        return program

    def probabilities(self, batch: Batch) -> dict[Target, Float[Tensor, "B"]]:
        """The probability of every target, a function of each row alone."""
        targets = self.encoder.layout.targets
        names = [one.name for one in targets]
        found = torch.empty(len(targets), len(batch))
        for rows in self._runs(batch.scenario.numpy()):
            places = None if rows is None else torch.from_numpy(rows)
            made = self.session.run(names, feed(batch if places is None else batch.select(places)))
            for place, scores in enumerate(made):
                found[place, slice(None) if places is None else places] = torch.from_numpy(scores)
        return dict(zip(targets, found.unbind(0), strict=True))

    def _runs(self, scenario: np.ndarray) -> Iterator[np.ndarray | None]:
        """Rows of each run of the program; None: all of them, in their order."""
        count = len(scenario)
        if not count:
            return
        routed = self.manifest.program is not None and self.manifest.program.routed
        if not routed or not mixed(scenario):
            order, stops = np.arange(count), [count]
        else:
            order = np.argsort(scenario, kind="stable")
            stops = list(cuts(scenario[order]))
        if stops == [count] and count <= MOST_ROWS:
            yield None
            return
        start = 0
        for stop in stops:
            for first in range(start, stop, MOST_ROWS):
                yield order[first : min(first + MOST_ROWS, stop)]
            start = stop


def mixed(scenario: np.ndarray) -> bool:
    """Whether rows of these scenarios cost more in one run than in several.

    Example:
        >>> mixed(np.zeros(500, np.int64)), mixed(np.array([0, 1, 2])), mixed(np.arange(500))
        (False, False, True)
    """
    if (scenario == scenario[0]).all():
        return False
    return bool(scenario.min() < 0 or len(scenario) * len(np.unique(scenario)) > MIXED)


def cuts(ordered: np.ndarray) -> Iterator[int]:
    """Where runs end among rows ordered by scenario: small scenarios go together, unknown ones (first) apart.

    Example:
        >>> list(cuts(np.array([-1, 0, 1, 1] + 50 * [2])))
        [1, 4, 54]
    """
    start = scenarios = before = 0
    for end in [*(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(ordered)]:
        if scenarios and (ordered[start] < 0 or (end - start) * (scenarios + 1) > MIXED):
            yield before
            start, scenarios = before, 0
        scenarios, before = scenarios + 1, end
    yield len(ordered)


def open_session(path: Path, threads: int = 1) -> Any:
    """An onnxruntime session on the CPU.

    Raises:
        NotReadyError: onnxruntime is not installed.
        BundleError: the file is no program.
    """
    try:
        import onnxruntime
    except ImportError as reason:
        raise NotReadyError("running an ONNX program needs onnxruntime: pip install 'polyrec[serve]'.") from reason
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # onnxruntime raises kinds of its own
        raise BundleError(f"{path} cannot be run: {reason}. Export the bundle again.") from reason


def feed(batch: Batch) -> dict[str, np.ndarray]:
    """A batch as the program's inputs, by name."""
    tensors = {"ids": batch.ids, "numerics": batch.numerics, "scenario": batch.scenario}
    for name, one in batch.sequences.items():
        tensors |= {f"values.{name}": one.values, f"offsets.{name}": one.offsets.long()}
    tensors |= {f"vector.{name}": one for name, one in batch.vectors.items()}
    return {name: one.numpy() for name, one in tensors.items()}


def from_feed(tensors: dict[str, Tensor], batch: Batch) -> Batch:
    """The batch that `feed` would make these inputs of; labels, weights and users of `batch`, which are not read."""
    sequences = {name: Jagged(tensors[f"values.{name}"], tensors[f"offsets.{name}"]) for name in batch.sequences}
    vectors = {name: tensors[f"vector.{name}"] for name in batch.vectors}
    return replace(
        batch,
        ids=tensors["ids"],
        numerics=tensors["numerics"],
        scenario=tensors["scenario"],
        sequences=sequences,
        vectors=vectors,
    )
