"""Predictions beside their labels, for every target: what reports and comparisons are made of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from polyrec.atomic import whole_file
from polyrec.errors import DataError
from polyrec.metrics.ranked import BLOCK
from polyrec.schema import Target
from polyrec.shapes import Bool, Float, Int

_VERSION = 1
_KEY = b"polyrec.predictions"


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """Rows with the logit, the label and the membership of every target, in the order of the data.

    `inside` says which rows lie in a target's space and have been observed; outside it, a label is False.
    `scenario` is an index into `scenarios`, or -1 for one that was never declared. `user` tells users apart;
    it is `batch.NO_USER` where there is none.

    Example:
        >>> click = Target("click")
        >>> rows = Collected(
        ...     targets=(click,),
        ...     scenarios=("home",),
        ...     scenario=np.zeros(3, dtype=np.int32),
        ...     user=np.array([7, 7, 8]),
        ...     logits={click: np.array([-2.0, 0.5, -1.0], dtype=np.float32)},
        ...     labels={click: np.array([False, True, False])},
        ...     inside={click: np.array([True, True, True])},
        ... )
        >>> len(rows)
        3
    """

    targets: tuple[Target, ...]
    scenarios: tuple[str, ...]
    scenario: Int[np.ndarray, "B"]
    user: Int[np.ndarray, "B"]
    logits: Mapping[Target, Float[np.ndarray, "B"]]
    labels: Mapping[Target, Bool[np.ndarray, "B"]]
    inside: Mapping[Target, Bool[np.ndarray, "B"]]

    def __len__(self) -> int:
        return len(self.scenario)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the rows without the predictions: equal where two models were tried on the same rows.

        Neither the order in which scenarios or targets are declared nor scenarios without rows change it.
        """
        present = np.bincount(self.scenario + 1, minlength=len(self.scenarios) + 1)[1:]
        names = sorted(name for name, rows in zip(self.scenarios, present.tolist(), strict=True) if rows)
        place_of = {name: place for place, name in enumerate(names)}
        places = np.array([*(place_of.get(name, -1) for name in self.scenarios), -1], dtype=np.int64)
        targets = sorted(self.targets)
        found = hashlib.sha256(repr((names, targets, len(self))).encode())
        for at in range(0, len(self), BLOCK):
            found.update(places[self.scenario[at : at + BLOCK]].data)
        found.update(np.ascontiguousarray(self.user, dtype=np.int64).data)
        for target in targets:
            found.update(np.packbits(self.inside[target]).data)
            found.update(np.packbits(self.labels[target] & self.inside[target]).data)
        return found.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write a parquet file: scenario, user, and of each target its logit and its label (null outside)."""
        words = pa.DictionaryArray.from_arrays(
            pa.array(self.scenario, pa.int32(), mask=self.scenario < 0), pa.array(self.scenarios, pa.string())
        )
        columns: dict[str, Any] = {"scenario": words, "user": self.user}
        for target in self.targets:
            columns[f"logit_{target.name}"] = self.logits[target]
            columns[f"label_{target.name}"] = pa.array(self.labels[target], mask=~self.inside[target])
        about = {
            "version": _VERSION,
            "targets": [[target.task, target.space] for target in self.targets],
            "scenarios": self.scenarios,
            "fingerprint": self.fingerprint,
        }
        table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
        with whole_file(path) as temporary:
            pq.write_table(table, temporary, compression="zstd", use_dictionary=["scenario"])
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "Collected":
        """Read what `save` wrote.

        Raises:
            DataError: no such file, not parquet, not written by `save`, or changed since.
        """
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as reason:
            raise DataError(f"{path} cannot be read as predictions: {reason}. Run `polyrec fit` again.") from reason
        about = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
        if about.get("version") != _VERSION:
            raise DataError(
                f"{path} holds no predictions of version {_VERSION} (found {about.get('version')!r}). "
                "Name the test.parquet of a finished run."
            )
        found = _restored(table, about)
        if found.fingerprint != about["fingerprint"]:
            raise DataError(
                f"{path} was changed after it was written: its fingerprint differs. Run `polyrec fit` again."
            )
        return found


def _restored(table: pa.Table, about: Mapping[str, Any]) -> Collected:
    scenarios = tuple(about["scenarios"])
    names = table["scenario"].combine_chunks()
    known = pa.array(scenarios, pa.string())
    scenario = pc.index_in(names.cast(pa.string()), value_set=known).fill_null(-1)
    targets = tuple(Target(task, space) for task, space in about["targets"])
    labels = {target: table[f"label_{target.name}"] for target in targets}
    return Collected(
        targets=targets,
        scenarios=scenarios,
        scenario=scenario.to_numpy(zero_copy_only=False),
        user=table["user"].to_numpy(),
        logits={target: table[f"logit_{target.name}"].to_numpy() for target in targets},
        labels={target: column.fill_null(False).to_numpy() for target, column in labels.items()},
        inside={target: column.is_valid().to_numpy() for target, column in labels.items()},
    )
