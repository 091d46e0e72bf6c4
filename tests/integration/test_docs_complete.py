"""What can be registered, set or found has its place in the documentation, with its true default."""

import ast
import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest
import typer

from polyrec import models, recipes
from polyrec.bench.search import SAMPLERS
from polyrec.bench.suite import NAMES, Suite
from polyrec.cli.main import app
from polyrec.config import DataConfig, RunConfig, Split, TrainingConfig, TransferConfig
from polyrec.evaluation.measure import METRICS
from polyrec.models.inputs import InputOptions
from polyrec.objectives import balance, objective
from polyrec.objectives.balance import balancer
from polyrec.schema import Feature, Keys, Schema, Task
from polyrec.testing import CHECKS

ROOT = Path(__file__).parents[2]
PIPE = r"\|"  # within a cell
# What a recipe uses is offered; a part that none uses yet may wait for its page.
MODELS = sorted({recipes.get(name).model for name in recipes.names()})
OBJECTIVES = sorted({recipes.get(name).objective for name in recipes.names()})


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """A page's text from a heading to the next one of its level or above."""
    text = page(name)
    start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert start is not None, f"{name} has no heading {heading!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def table(text: str) -> dict[str, list[str]]:
    """The rows of the tables of a text by what stands in backticks in their first cell."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| `") else [""]
        for name in re.findall(r"`([^`]+)`", cells[0]):
            found[name] = [cell.replace(r"\|", "|") for cell in cells[1:]]
    return found


def shown(one: "Field[Any]") -> str:
    """A field's default as the tables write it."""
    default = one.default
    if default is MISSING and one.default_factory is MISSING:
        return "required"
    if one.default_factory is not MISSING:
        default = one.default_factory()
    if default is None:
        return "unset"
    if default in ((), {}):
        return "empty"
    return f'`"{default}"`' if isinstance(default, str) else str(default)


@pytest.mark.parametrize(
    ("heading", "config"),
    [("Top level", RunConfig), ("`[data]`", DataConfig), ("`split`", Split), ("`[training]`", TrainingConfig)],
)
def test_every_option_of_a_run_file_is_told_with_its_default(heading: str, config: type[Any]) -> None:
    told = {name: cells[0] for name, cells in table(section("recipes.md", heading)).items()}
    assert told == {one.name: shown(one) for one in fields(config)}


@pytest.mark.parametrize(
    ("heading", "part", "beside"),
    [
        ("Top level", Schema, {"keys", "features", "tasks"}),
        ("`[keys]`", Keys, set()),
        ("`[[features]]`", Feature, set()),
        ("`[[tasks]]` and the funnel", Task, set()),
    ],
)
def test_every_key_of_a_schema_is_told(heading: str, part: type[Any], beside: set[str]) -> None:
    assert set(table(section("schema.md", heading))) == {one.name for one in fields(part)} - beside


def test_every_option_of_a_transfer_is_told_with_its_default() -> None:
    told = {name: cells[0] for name, cells in table(section("transfer.md", "`[transfer]`")).items()}
    assert told == {one.name: shown(one) for one in fields(TransferConfig)}


def test_the_table_of_recipes_is_the_registry() -> None:
    told = {name: cells for name, cells in table(section("recipes.md", "Recipes")).items() if len(cells) == 4}
    known = [recipes.get(name) for name in recipes.names()]
    expected = {one.name: [one.family, one.summary, one.needs, one.paper] for one in known}
    lines = "\n".join(
        f"| `{name}` | {' | '.join(cell.replace('|', PIPE) for cell in cells)} |" for name, cells in expected.items()
    )
    assert told == expected, f"the table of recipes.md must be\n{lines}"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_section_with_its_options_and_its_answer_to_unknown_scenarios(name: str) -> None:
    text = section("models.md", name)
    shared = {one.name for one in fields(InputOptions)}
    own = [one for one in fields(models.entry(name).config) if one.name not in shared]
    for one in own:
        assert f"`{one.name}`" in text, one.name
    assert "**Unknown scenario**" in re.sub(r"\s+", " ", text)
    assert "**Cost**" in text


def test_the_options_that_every_model_has_are_told_with_their_defaults() -> None:
    told = {name: cells[0] for name, cells in table(section("models.md", "Inputs, the same for all")).items()}
    assert told == {one.name: shown(one) for one in fields(InputOptions)}


def test_every_rule_of_the_contract_is_told() -> None:
    assert set(table(section("models.md", "The contract"))) == set(CHECKS)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_of_a_recipe_has_a_section_with_its_options(name: str) -> None:
    told = table(section("objectives.md", name))
    for one in fields(objective._ENTRIES[name].config):
        assert told[one.name][0] == shown(one)


@pytest.mark.parametrize("name", balance.names())
def test_every_balancer_has_a_section_with_its_options(name: str) -> None:
    text = section("objectives.md", name)
    for one in fields(balancer._ENTRIES[name].config):
        assert f"`{one.name}`" in text


def test_every_metric_is_told_with_its_interval() -> None:
    assert set(table(section("report.md", "Metrics"))) == set(METRICS)
    assert set(table(section("report.md", "Intervals"))) == {*METRICS, "macro"}


def test_every_kind_of_finding_is_told() -> None:
    kinds = set()
    for path in (ROOT / "src/polyrec/data/inspection").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                kinds.add(ast.literal_eval(node.args[0]))
    assert set(table(section("data.md", "Look before training"))) == kinds


def test_every_command_has_a_section_with_its_options() -> None:
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        told = {key for key in table(section("cli.md", name)) if key.startswith("--")}
        assert told == {
            option for one in command.params for option in (*one.opts, *one.secondary_opts) if option.startswith("--")
        }, name


def test_every_key_of_a_suite_and_every_suite_of_the_package_is_told() -> None:
    told = set(table(section("bench.md", "A suite of your own")))
    assert told == {one.name for one in fields(Suite)}
    assert set(table(section("bench.md", "Suites of the package"))) == set(NAMES)
    assert set(table(section("bench.md", "Samplers"))) == set(SAMPLERS)
