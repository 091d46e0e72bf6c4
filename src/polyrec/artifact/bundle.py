"""A trained model with its encoding: raw rows in, probabilities out, and proof that it still does."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from polyrec import models, objectives
from polyrec.artifact import weights
from polyrec.artifact.golden import replay
from polyrec.artifact.golden import write as write_golden
from polyrec.artifact.manifest import FORMAT, REPORT, Manifest, Part
from polyrec.atomic import whole_folder
from polyrec.batch import Batch
from polyrec.data.encode import Encoder
from polyrec.data.vocabulary import Vocabulary
from polyrec.errors import BundleError
from polyrec.nn.sharded import parameter_count
from polyrec.objectives import Objective
from polyrec.schema import Schema, Target
from polyrec.shapes import Float, Tensor


@dataclass(frozen=True)
class Bundle:
    """A model that scores raw rows. `load` refuses to give one whose golden rows score otherwise than when saved.

    Example:
        A bundle is written by `polyrec fit` and read back with

        ```python
        bundle = Bundle.load("runs/mmoe/bundle")
        probabilities = bundle.probabilities(bundle.encoder.encode_rows([{"user_id": 7, "tab": "home"}]))
        ```
    """

    manifest: Manifest
    schema: Schema
    encoder: Encoder
    model: nn.Module
    objective: Objective

    @torch.inference_mode()
    def logits(self, batch: Batch) -> Mapping[Target, Float[Tensor, "B"]]:
        """The logit of every target, a function of each row alone; on the model's device, wherever the batch is."""
        device = next((one.device for one in self.model.parameters()), batch.ids.device)
        return self.objective.predict(self.model(batch.to(device)))

    def probabilities(self, batch: Batch) -> dict[Target, Float[Tensor, "B"]]:
        """The probability of every target."""
        return {target: torch.sigmoid(logit) for target, logit in self.logits(batch).items()}

    def save(self, folder: str | Path, golden: pa.Table, report: str | None = None) -> "Bundle":
        """Write the bundle whole, with `golden` raw rows and the scores they get now, and the model's report."""
        folder = Path(folder)
        with whole_folder(folder) as target:
            (target / "schema.json").write_text(json.dumps(self.schema.to_dict(), indent=1), encoding="utf-8")
            self.encoder.vocabulary.save(target / "vocabulary")
            weights.save(self.model, target / "model.safetensors")
            if self.objective.state_dict():
                weights.save(self.objective, target / "objective.safetensors")
            write_golden(target, golden, self.encoder, self.probabilities)
            if report is not None:
                (target / REPORT).write_text(report, encoding="utf-8")
            manifest = self.manifest.seal(target)
        return replace(self, manifest=manifest)

    @classmethod
    def load(cls, folder: str | Path) -> "Bundle":
        """Read a bundle, rebuild its model, and replay its golden rows.

        Raises:
            BundleError: damaged, of another format, or scoring otherwise than when it was written.
        """
        folder = Path(folder)
        manifest = Manifest.read(folder)
        schema = Schema.load(folder / "schema.json")
        encoder = Encoder(schema, Vocabulary.load(folder / "vocabulary"))
        objective = objectives.build(manifest.objective.name, encoder.layout, manifest.objective.options)
        model = models.build(manifest.model.name, encoder.layout, objective.heads, manifest.model.options)
        _restore(model, folder / "model.safetensors")
        if "objective.safetensors" in manifest.files:
            _restore(objective, folder / "objective.safetensors")
        bundle = cls(manifest, schema, encoder, model.eval(), objective.eval())
        replay(folder, encoder, bundle.probabilities)
        return bundle


def describe(recipe: str, model: Part, objective: Part, schema: Schema, network: nn.Module) -> Manifest:
    """A manifest without files, trained_on and metrics, which `save` and the caller add."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": version("numpy")}
    size, mine = parameter_count(network), version("polyrec")
    return Manifest(FORMAT, mine, recipe, model, objective, schema.fingerprint, size, versions=versions)


def _restore(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as reason:
        raise BundleError(f"{path} does not fit the model it names: {reason}. Export the bundle again.") from reason
