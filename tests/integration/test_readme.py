"""What the README shows is true: its Python runs, its commands exist, its tree is the tree."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language; "" for those that name none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for tag, text in found if tag == language]


@pytest.mark.slow
def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = blocks("python")
    assert len(example.splitlines()) <= 24
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", example]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "scenario='search'" in done.stdout
    first, second = (float(one) for one in re.findall(r"'click': ([0-9.]+)", done.stdout))
    assert first > second + 0.2  # item 3 is clicked seven times as often as item 4


def test_every_command_and_option_it_names_exists() -> None:
    for line in "\n".join(blocks("sh")).splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["polyrec"]:
            command = [sys.executable, "-m", "polyrec", words[1], "--help"]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for option in (word for word in words if word.startswith("--")):
                assert option in shown, line
        elif words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line


def test_the_tree_names_every_folder_and_module_of_the_package_and_nothing_else() -> None:
    tree = next(block for block in blocks("") if "src/polyrec" in block)
    named = {line.split()[0] for line in tree.splitlines() if line.strip()}
    package = ROOT / "src" / "polyrec"
    tops = {"__init__.py", "__main__.py"}
    expected = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    expected |= {path.name for path in package.glob("*.py") if path.name not in tops}
    inside = {name for name in named if name not in ("src/polyrec/", "tests/", "docs/", "benchmarks/")}
    assert inside == expected
    for line in tree.splitlines():
        assert len(line.split(maxsplit=1)) == 2, f"no words for {line!r}"


def test_the_model_that_contributing_shows_is_the_one_that_the_docs_test() -> None:
    shown = re.search(r"^   ```python\n(.*?)^   ```$", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE)
    tested = re.search(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert shown is not None
    assert tested is not None
    assert textwrap.dedent(shown.group(1)) == tested.group(1)
