"""Golden rows: raw rows and the scores that they had when a bundle was written."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from polyrec.batch import Batch
from polyrec.data.encode import Encoder
from polyrec.errors import BundleError
from polyrec.schema import Target
from polyrec.shapes import Float, Tensor

ROWS = 64
TOLERANCE = 1e-5
Probabilities = Callable[[Batch], Mapping[Target, Float[Tensor, "B"]]]


def write(folder: Path, rows: pa.Table, encoder: Encoder, probabilities: Probabilities) -> None:
    """Keep up to 64 raw rows and the scores they get now."""
    rows = rows.slice(0, ROWS)
    pq.write_table(rows, folder / "golden.parquet")
    scores = probabilities(encoder.encode(rows, labels=False))
    plain = {target.name: [float(one) for one in score] for target, score in scores.items()}
    (folder / "golden.json").write_text(json.dumps(plain, indent=1), encoding="utf-8")


def read(folder: Path) -> pa.Table:
    """The raw rows."""
    return pq.read_table(folder / "golden.parquet")


def replay(folder: Path, encoder: Encoder, probabilities: Probabilities) -> None:
    """Score the golden rows again.

    Raises:
        BundleError: a score differs by more than 1e-5.
    """
    expected = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    for target, score in probabilities(encoder.encode(read(folder), labels=False)).items():
        saved = torch.tensor(expected[target.name])
        worst = float((score - saved).abs().max()) if len(saved) else 0.0
        if not worst <= TOLERANCE:
            raise BundleError(
                f"{folder}: golden rows score {target.name} differently than when the bundle was written "
                f"(by {worst:.2g}; the bound is {TOLERANCE:g}). This machine computes another model: "
                "export the bundle again with this version."
            )
