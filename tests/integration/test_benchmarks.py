"""What benchmarks take from polyrec is there, wherever in a program they import it."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = sorted(FOLDER.rglob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=[str(one.relative_to(FOLDER)) for one in PROGRAMS])
def test_every_import_is_met(program):
    asked = [
        (node.module, name.name)
        for node in ast.walk(ast.parse(program.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "polyrec"
        for name in node.names
    ]
    missing = [
        f"{module}.{name}"
        for module, name in asked
        if not hasattr(import_module(module), name) and find_spec(f"{module}.{name}") is None
    ]
    assert missing == []
    private = [f"{module}.{name}" for module, name in asked if name.startswith("_")]
    assert private == []
