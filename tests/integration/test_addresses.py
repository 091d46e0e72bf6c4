"""A run whose rows have addresses is the run on local paths: in two processes, and resumed."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyrec.data.simulate import simulate

RUN = """recipe = "pooled"
[data]
schema = "schema.toml"
log = ["{log}"]
shuffle_rows = 500
[model]
widths = [8]
[training]
epochs = 2
batch_size = 100
threads = 1
checkpoint_steps = 2
"""


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    simulate(folder, rows=2_000, scenarios=2, seed=1)
    table = pq.read_table(folder / "log.parquet")
    for number, rows in enumerate(np.array_split(np.arange(len(table)), 5)):
        pq.write_table(table.take(pa.array(rows)), folder / f"part-{number}.parquet", row_group_size=150)
    (folder / "near.toml").write_text(RUN.format(log="part-*.parquet"), encoding="utf-8")
    # an fsspec system, which other processes see too
    (folder / "far.toml").write_text(RUN.format(log=f"local://{folder}/part-*.parquet"), encoding="utf-8")
    return folder


def fit(folder, name, out, *more, code=0):
    command = [sys.executable, "-m", "polyrec", "fit", str(folder / f"{name}.toml"), "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def weights(folder):
    return [(folder / "bundle" / name).read_bytes() for name in ("model.safetensors", "objective.safetensors")]


@pytest.mark.long
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_run_by_address_is_the_run_on_local_files(logged, tmp_path, processes):
    for name in ("near", "far"):
        fit(logged, name, tmp_path / name, "--processes", processes)
    assert weights(tmp_path / "near") == weights(tmp_path / "far")
    told = (tmp_path / "far" / "data.json").read_text(encoding="utf-8")
    assert f'"local://{logged}/part-0.parquet": ' in told
    assert "local:///" in (tmp_path / "far" / "run.toml").read_text(encoding="utf-8")
    (tmp_path / "far" / "report.json").unlink()  # as if it had been stopped at the end
    fit(logged, "far", tmp_path / "far", "--resume", "--processes", processes)
    assert weights(tmp_path / "near") == weights(tmp_path / "far")
    (tmp_path / "far" / "report.json").unlink()
    path = logged / "part-3.parquet"
    was = path.stat()
    os.utime(path, ns=(1, 1))
    said = fit(logged, "far", tmp_path / "far", "--resume", code=2)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert f"local://{logged}/part-3.parquet changed since" in said
