"""A bundle is whole, or refused in words; older ones load."""

import json
import shutil
from pathlib import Path

import pytest

from polyrec.artifact import Bundle, Manifest, Program
from polyrec.artifact.export import export
from polyrec.errors import BundleError
from polyrec.serving import Scorer

ROW = {"tab": "s1", "user": 3, "item": "i2", "brand": "b1", "price": 3.5, "age": 30, "history": ["i1"]}


@pytest.fixture(scope="module")
def exported(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "mmoe"
    export(bundle, out)
    return out


def rewritten(folder: Path, **changed: object) -> None:
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **changed}))


def test_the_program_serves_where_it_is_and_scores_as_the_model(bundle: Path, exported: Path) -> None:
    scorer = Scorer.load(exported)
    assert isinstance(scorer.bundle, Program)
    assert isinstance(Scorer.load(bundle).bundle, Bundle)
    assert scorer.score([ROW])[0] == pytest.approx(Scorer.load(bundle).score([ROW])[0], abs=1e-5)
    assert scorer.score([]) == []
    program = Manifest.read(exported).program
    assert program is not None
    assert set(program.made_with) == {"torch", "onnx", "onnxscript", "onnxruntime"}


def test_exporting_again_gives_the_same_bundle_with_a_program(exported: Path, tmp_path: Path) -> None:
    export(exported, tmp_path / "again")
    assert {path.name for path in exported.iterdir()} == {path.name for path in (tmp_path / "again").iterdir()}
    assert isinstance(Scorer.load(tmp_path / "again").bundle, Program)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("change", ["flipped", "cut", "missing"])
def test_every_file_is_held_to_its_hash(exported: Path, tmp_path: Path, change: str) -> None:
    names = [name for name in files(exported) if name != "manifest.json"]
    assert len(names) >= 9
    for name in names:
        folder = shutil.copytree(exported, tmp_path / change / name.replace("/", "-"))
        path = folder / name
        data = path.read_bytes()
        if change == "missing":
            path.unlink()
        else:
            middle = len(data) // 2
            path.write_bytes(
                data[:-1] if change == "cut" else data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
            )
        for load in (Bundle.load, Program.load, Scorer.load):
            with pytest.raises(BundleError, match=r"missing from the bundle|differs from what was written"):
                load(folder)


def test_a_file_without_a_hash_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "bundle")
    hashes = json.loads((folder / "manifest.json").read_text())["files"]
    rewritten(folder, files={name: one for name, one in hashes.items() if name != "model.safetensors"})
    with pytest.raises(BundleError, match=r"has no hash of model\.safetensors"):
        Bundle.load(folder)


def test_a_program_that_was_slipped_in_is_not_run(bundle: Path, exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    shutil.copy(exported / "program.onnx", folder)
    assert isinstance(Scorer.load(folder).bundle, Bundle)
    rewritten(folder, program={"opset": 20, "routed": False, "made_with": {}})
    with pytest.raises(BundleError, match=r"has no program\.onnx"):
        Scorer.load(folder)


def test_format_1_is_read_and_exports_to_the_present_one(bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    values = json.loads((folder / "manifest.json").read_text())
    del values["versions"], values["program"]
    (folder / "manifest.json").write_text(json.dumps({**values, "format": 1}))
    assert Scorer.load(folder).score([ROW])[0] == pytest.approx(Scorer.load(bundle).score([ROW])[0])
    export(folder, tmp_path / "new")
    assert Manifest.read(tmp_path / "new").format == 2


@pytest.mark.parametrize(
    ("found", "words"),
    [(3, "reads 1 and 2. Update polyrec"), (0, "Fit or export"), (None, "Fit or export"), ("2", "Fit or export")],
)
def test_another_format_says_what_to_do(bundle: Path, tmp_path: Path, found: object, words: str) -> None:
    folder = shutil.copytree(bundle, tmp_path / "bundle")
    rewritten(folder, format=found)
    with pytest.raises(BundleError, match=words):
        Bundle.load(folder)


def test_golden_rows_that_score_otherwise_are_refused(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "bundle")
    golden = json.loads((folder / "golden.json").read_text())
    golden["buy"][3] += 1e-3
    (folder / "golden.json").write_text(json.dumps(golden))
    Manifest.read(folder, check=False).seal(folder)
    for load in (Bundle.load, Program.load):
        with pytest.raises(BundleError, match="golden rows score buy differently"):
            load(folder)


def test_a_program_cut_short_is_told_even_with_a_matching_hash(exported: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(exported, tmp_path / "bundle")
    (folder / "program.onnx").write_bytes((folder / "program.onnx").read_bytes()[:500])
    Manifest.read(folder, check=False).seal(folder)
    with pytest.raises(BundleError, match="cannot be run"):
        Program.load(folder)
