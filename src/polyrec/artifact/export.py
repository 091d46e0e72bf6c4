"""Model and objective as one ONNX program with open rows, proven equal to them before it is kept."""

import logging
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from polyrec.artifact import golden, program
from polyrec.artifact.bundle import Bundle
from polyrec.artifact.manifest import FORMAT, REPORT, Graph, Manifest
from polyrec.atomic import whole_folder
from polyrec.batch import Batch, Field, Jagged, Layout
from polyrec.errors import BundleError, NotReadyError
from polyrec.nn.routed import RoutedLinear, StarLinear
from polyrec.shapes import Tensor

OPSET = 20
ROWS = (1, 2, 33)  # of the random batches that the program is compared on


class _Whole(nn.Module):
    """The encoded tensors in, the probability of every target out."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.model, self.objective = bundle.model, bundle.objective
        self.layout = bundle.encoder.layout

    def forward(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        rows, tasks = tensors["scenario"].shape[0], len(self.layout.tasks)
        blank = Batch(
            layout=self.layout,
            ids=tensors["ids"],
            numerics=tensors["numerics"],
            scenario=tensors["scenario"],
            labels=torch.zeros(rows, tasks),
            observed=torch.zeros(rows, tasks, dtype=torch.bool),
            weight=torch.ones(rows),
            user=torch.zeros(rows, dtype=torch.int64),
            sequences={
                one.name: Jagged(tensors[f"values.{one.name}"], tensors[f"offsets.{one.name}"])
                for one in self.layout.sequences
            },
            vectors={one.name: tensors[f"vector.{one.name}"] for one in self.layout.vectors},
        )
        logits = self.objective.predict(self.model(blank))
        return tuple(torch.sigmoid(logits[target]) for target in self.layout.targets)


def export(source: str | Path, out: str | Path) -> Manifest:
    """Write the bundle at `source` to `out`, its ONNX program with it.

    The program is compared with the model on the golden rows and on random ones, of unknown scenario and with empty
    sequences among them; nothing is written when a probability differs by more than 1e-5.

    Args:
        source: a bundle, or a run's folder with a bundle in it.
        out: the folder to write; what stood there is replaced once the new one is whole.

    Raises:
        NotReadyError: onnx, onnxscript or onnxruntime is not installed.
        BundleError: no bundle, or a model that does not become a program that scores as it does.
    """
    folder, out = bundle_of(source), Path(out)
    bundle = Bundle.load(folder)
    with whole_folder(out) as target:
        for name in bundle.manifest.files:
            if not name.startswith(program.NAME):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, target / name)
        report = Path(source) / REPORT
        if report.is_file() and folder != Path(source):  # a run of an older version has it beside its bundle
            shutil.copyfile(report, target / REPORT)
        write_program(bundle, target / program.NAME)
        manifest = replace(bundle.manifest, format=FORMAT, program=_described(bundle))
        made = program.Program(manifest, bundle.schema, bundle.encoder, program.open_session(target / program.NAME))
        golden.replay(target, bundle.encoder, made.probabilities)
        compare(bundle, made)
        return manifest.seal(target)


def bundle_of(folder: str | Path) -> Path:
    """The bundle in a run's folder, or the folder itself."""
    inside = Path(folder) / "bundle"
    return inside if inside.is_dir() else Path(folder)


def write_program(bundle: Bundle, path: Path) -> None:
    """Write the ONNX program, and its weights beside it as `NAME.data`.

    Raises:
        NotReadyError: a package of the extra `export` is not installed.
        BundleError: the model cannot become a program with open rows.
    """
    layout = bundle.encoder.layout
    tensors = {name: torch.from_numpy(one) for name, one in program.feed(random_batch(layout, 3, seed=0)).items()}
    try:
        import onnxscript  # noqa: F401

        with _quiet():
            shapes = ({name: _open(name, layout) for name in tensors},)
            graph = torch.export.export(_Whole(bundle).eval(), (tensors,), dynamic_shapes=shapes, strict=False)
            made = torch.onnx.export(
                graph,
                dynamo=True,
                input_names=list(tensors),
                output_names=[target.name for target in layout.targets],
                opset_version=OPSET,
                verbose=False,
            )
    except ImportError as reason:
        raise NotReadyError(f"exporting needs {reason.name}: pip install 'polyrec[export]'.") from reason
    except Exception as reason:  # the exporter raises many kinds
        lines = str(reason).strip().splitlines() or [type(reason).__name__]
        raise BundleError(
            f"model {bundle.manifest.model.name!r} cannot become an ONNX program with open rows: {lines[0]} "
            "Serve the bundle without one; polyrec.testing.check says what a model must keep to."
        ) from reason
    assert made is not None
    made.save(str(path), external_data=True)


def compare(bundle: Bundle, made: program.Program) -> None:
    """Hold a program to its bundle on random rows.

    Raises:
        BundleError: a probability differs by more than 1e-5.
    """
    unknown = 0.3 if bundle.schema.unknown_scenario == "shared" else 0.0
    for rows in ROWS:
        for empty in (False, True):
            batch = random_batch(bundle.encoder.layout, rows, seed=rows, unknown=unknown, empty=empty)
            expected = bundle.probabilities(batch)
            for target, found in made.probabilities(batch).items():
                worst = float((found - expected[target]).abs().max())
                if not worst <= golden.TOLERANCE:
                    raise BundleError(
                        f"the ONNX program scores {target.name} differently than its model, by {worst:.2g} on {rows} "
                        f"random rows; the bound is {golden.TOLERANCE:g}. Serve the bundle without a program."
                    )


def random_batch(layout: Layout, rows: int, seed: int, *, unknown: float = 0.0, empty: bool = False) -> Batch:
    """Random encoded rows: any id of a table, numbers around 0, sequences of 0 to `max_length` values."""
    random = torch.Generator().manual_seed(seed)
    scenario = torch.randint(0, len(layout.scenarios), (rows,), generator=random)
    scenario[torch.rand(rows, generator=random) < unknown] = -1
    ids = [torch.randint(0, one.size, (rows,), generator=random, dtype=torch.int32) for one in layout.categorical]
    return Batch(
        layout=layout,
        ids=torch.stack(ids, 1) if ids else torch.zeros(rows, 0, dtype=torch.int32),
        numerics=torch.randn(rows, len(layout.numeric), generator=random),
        scenario=scenario,
        labels=torch.zeros(rows, len(layout.tasks)),
        observed=torch.zeros(rows, len(layout.tasks), dtype=torch.bool),
        weight=torch.ones(rows),
        user=torch.zeros(rows, dtype=torch.int64),
        sequences={one.name: _random_sequence(one, rows, random, empty) for one in layout.sequences},
        vectors={one.name: torch.randn(rows, one.size, generator=random) for one in layout.vectors},
    )


def _random_sequence(one: Field, rows: int, random: torch.Generator, empty: bool) -> Jagged:
    lengths = torch.randint(0, 1 if empty else (one.max_length or 8) + 1, (rows,), generator=random)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cumsum(lengths, 0)])
    values = torch.randint(0, one.size, (int(offsets[-1]),), generator=random, dtype=torch.int32)
    return Jagged(values, offsets)


def _open(name: str, layout: Layout) -> dict[int, Any]:
    """Which size of an input is open."""
    kind, _, feature = name.partition(".")
    if kind == "values":
        place = [one.name for one in layout.sequences].index(feature)
        return {0: Dim(f"values{place}", min=0)}
    return {0: Dim("rows", min=1) + 1} if kind == "offsets" else {0: Dim("rows", min=1)}


def _described(bundle: Bundle) -> Graph:
    routed = any(isinstance(one, (RoutedLinear, StarLinear)) for one in bundle.model.modules())
    made_with = {name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")}
    return Graph(OPSET, routed, made_with)


class _quiet(warnings.catch_warnings):  # noqa: N801
    """Without the exporter's remarks on itself."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)

    def __exit__(self, *reason: Any) -> None:
        logging.disable(logging.NOTSET)
        super().__exit__(*reason)
