"""Every example of the documentation runs, and every command, option and run file in it is one that exists."""

import re
import shlex
import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from polyrec import models, recipes
from polyrec.bench import suite
from polyrec.bench.space import read_space
from polyrec.cli.main import app
from polyrec.config import RunConfig
from polyrec.declare import parse
from polyrec.objectives import objective
from polyrec.objectives.balance import balancer
from polyrec.recipes.assemble import training_of
from polyrec.recipes.fit import fit
from polyrec.schema import Schema

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(?P<tag>[a-z]*)(?P<more>[^\n]*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTS = 'title="prints"'


@dataclass(frozen=True)
class Block:
    """A fenced part of a page, and what a block after it says that it prints."""

    page: str
    line: int
    tag: str
    text: str
    prints: str | None = None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for one in FENCE.finditer(text):
        block = Block(
            str(page.relative_to(DOCS)), text[: one.start()].count("\n") + 1, one["tag"], one["text"], one["more"]
        )
        if PRINTS in one["more"]:
            assert found[-1].tag == "python", f"{block} says what is printed, with no python block before it"
            before = found.pop()
            block = Block(before.page, before.line, "python", before.text, one["text"])
        else:
            block = Block(block.page, block.line, block.tag, block.text)
        found.append(block)
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def declared(name: str) -> list[Block]:
    return [one for one in ALL if one.tag == "toml" and one.text.startswith(f"# {name}\n")]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first page's folder is kept for the others."""
    return tmp_path_factory.mktemp("docs") / "finished"


@pytest.fixture
def finished(log: Path, kept: Path) -> Path:
    """A folder with a small log and two finished runs on it."""
    if not kept.exists():
        for recipe in ("pooled", "mmoe"):
            settings = {"recipe": recipe, "training.epochs": 1, "training.evaluations": 1}
            fit(RunConfig.load(log / "run.toml", settings), log / "runs" / recipe)
        shutil.copytree(log, kept)
    return kept


@pytest.fixture
def page_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module for a page's code; what the page registers is forgotten afterwards."""
    for registry, name in (
        (models.registry, "_ENTRIES"),
        (objective, "_ENTRIES"),
        (balancer, "_ENTRIES"),
        (recipes.recipe, "_RECIPES"),
    ):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    module = ModuleType("docs_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize("page", [page for page in PAGES if any(one.tag == "python" for one in blocks(page))], ids=str)
def test_the_python_of_a_page_runs_and_prints_what_it_says(
    page: Path,
    finished: Path,
    page_module: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(finished, tmp_path / "page")
    monkeypatch.chdir(folder)
    for block in blocks(page):
        if block.tag == "python":
            code = compile("\n" * block.line + block.text, str(page), "exec")
            exec(code, page_module.__dict__)
            printed = capsys.readouterr().out
            assert block.prints is None or printed == block.prints, block


def test_blocks_are_python_toml_sh_bash_or_text() -> None:
    assert {one.tag for one in ALL} <= {"python", "toml", "sh", "bash", "text", ""}


@pytest.mark.parametrize("block", declared("schema.toml"), ids=str)
def test_schemas_shown_are_accepted(block: Block, tmp_path: Path) -> None:
    (tmp_path / "schema.toml").write_text(block.text, encoding="utf-8")
    assert Schema.load(tmp_path / "schema.toml").tasks


@pytest.mark.parametrize("block", declared("run.toml"), ids=str)
def test_run_files_shown_are_accepted_with_all_their_options(block: Block, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(block.text, encoding="utf-8")
    run = RunConfig.load(tmp_path / "run.toml")
    recipe, training = recipes.get(run.recipe), training_of(run)
    assert parse(models.entry(recipe.model).config, run.model, "[model]")
    parse(objective._ENTRIES[recipe.objective].config, run.objective, "[objective]")
    parse(balancer._ENTRIES[training.balancer or recipe.balancer].config, run.balancer, "[balancer]")


@pytest.mark.parametrize("block", declared("suite.toml"), ids=str)
def test_suites_shown_are_accepted(block: Block) -> None:
    assert suite.read(tomllib.loads(block.text), str(block)).seeds


@pytest.mark.parametrize("block", declared("space.toml"), ids=str)
def test_spaces_shown_are_accepted(block: Block) -> None:
    assert read_space(tomllib.loads(block.text), str(block))


def test_every_toml_block_says_which_file_it_is() -> None:
    told = [*declared("schema.toml"), *declared("run.toml"), *declared("suite.toml"), *declared("space.toml")]
    assert [str(one) for one in ALL if one.tag == "toml"] == [str(one) for one in ALL if one in told]


def commands() -> list[tuple[str, list[str]]]:
    """Every `polyrec ...` of a shell block, with where it stands."""
    found = []
    for block in ALL:
        for line in block.text.replace("\\\n", " ").splitlines() if block.tag in ("sh", "bash") else ():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "polyrec":
                found.append((f"{block} {line.strip()}", words[1:]))
    return found


@pytest.mark.parametrize(("place", "words"), commands(), ids=lambda one: one if isinstance(one, str) else "")
def test_commands_and_options_shown_exist(place: str, words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    command = group if words[0].startswith("-") else group.commands.get(words[0])
    assert command is not None, f"{place}: known are {', '.join(group.commands)}"
    known = {"--help"} | {option for one in command.params for option in one.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, place
