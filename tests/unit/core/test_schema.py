"""The schema: one contract, every contradiction told at once."""

import tomllib
from pathlib import Path

import pytest

from polyrec.errors import SchemaError
from polyrec.schema import Cell, Feature, Keys, Schema, Target, Task, funnel

KEYS = Keys(scenario="tab", user="user_id")
ITEM = Feature("item_id", "categorical", "item")
CLICK = Task("click", "is_click")
BUY = Task("buy", "is_buy", after="click")


def test_cells_are_scenario_by_task_by_space() -> None:
    schema = Schema(KEYS, (ITEM,), (CLICK, BUY), scenarios=("home", "feed"))
    assert schema.cells == (
        Cell("home", "click"),
        Cell("home", "buy"),
        Cell("home", "buy", "click"),
        Cell("feed", "click"),
        Cell("feed", "buy"),
        Cell("feed", "buy", "click"),
    )
    assert [cell.target.column for cell in schema.cells[:3]] == ["p_click", "p_buy", "p_buy_given_click"]


def test_a_funnel_of_four_steps_is_walked_from_its_root() -> None:
    tasks = (Task("d", "ld", after="c"), Task("b", "lb", after="a"), Task("a", "la"), Task("c", "lc", after="b"))
    assert [task.name for task in funnel(tasks, "d")] == ["a", "b", "c", "d"]


def test_toml_and_json_read_back_equal_and_share_a_fingerprint(tmp_path: Path) -> None:
    schema = Schema(
        KEYS,
        (ITEM, Feature("seen", "sequence", "user", shares="item_id", max_length=20), Feature("v", "vector", size=3)),
        (CLICK, Task("buy", "is_buy", after="click", strict=False)),
        scenarios=("home", 'fe"ed'),
        unknown_scenario="shared",
    )
    path = tmp_path / "schema.toml"
    path.write_text(schema.to_toml(), encoding="utf-8")
    assert Schema.load(path) == schema
    assert Schema.from_dict(schema.to_dict()).fingerprint == schema.fingerprint
    assert Schema(KEYS, (ITEM,), (CLICK,)).fingerprint != schema.fingerprint


def test_all_errors_of_a_schema_are_told_at_once() -> None:
    with pytest.raises(SchemaError) as caught:
        Schema(
            KEYS,
            (ITEM, ITEM, Feature("is_click", "numeric", hash=8), Feature("e", "vector")),
            (CLICK, Task("buy", "is_buy", after="clik")),
        )
    text = str(caught.value)
    for part in (
        "feature 'item_id' is declared more than once",
        "hash is for categorical and sequence features, this one is numeric",
        "a vector needs its size",
        "task 'clik' is not declared. Known: click, buy. Did you mean 'click'?",
        "feature 'is_click' is the label of task 'click'",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("tasks", "part"),
    [
        ((), "no task is declared"),
        ((Task("a", "x", after="b"), Task("b", "y", after="a")), "comes after itself"),
        ((Task("a", "x", strict=False),), "it has none"),
        ((CLICK, Task("buy", "is_buy", after="click", via="buy")), "must be another task after the same parent"),
        ((CLICK, Task("buy", "is_buy", after="click", via="cart")), "via: task 'cart' is not declared"),
        ((Task("all", "x"),), "have a meaning here"),
        ((CLICK, Task("b", "is_click")), "label 'is_click' is declared more than once"),
    ],
)
def test_a_contradiction_among_tasks_is_refused(tasks: tuple[Task, ...], part: str) -> None:
    with pytest.raises(SchemaError, match=part):
        Schema(KEYS, (ITEM,), tasks)


@pytest.mark.parametrize(
    ("feature", "part"),
    [
        (Feature("a", "categorical", min_count=0), "min_count = 0: it must be at least 1"),
        (Feature("a", "categorical", shares="a"), "feature 'a' is not a categorical feature"),
        (Feature("a", "categorical", shares="item_id", dim=4), "sets its own hash, min_count or dim"),
    ],
)
def test_an_option_out_of_its_bounds_is_refused(feature: Feature, part: str) -> None:
    with pytest.raises(SchemaError, match=part):
        Schema(KEYS, (ITEM, feature), (CLICK,))


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text(
        '[keys]\nscenario = "tab"\n[[features]]\nname = "a"\nkind = "categorical"\nmin_cuont = 3\n'
        '[[tasks]]\nname = "click"\nlabel = "y"\n'
    )
    with pytest.raises(SchemaError, match=r"features\[0\].min_cuont.*Did you mean 'min_count'"):
        Schema.load(path)


def test_a_file_that_is_not_toml_or_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="does not exist"):
        Schema.load(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("[keys\n")
    with pytest.raises(SchemaError, match="is not TOML"):
        Schema.load(bad)
    bad.write_bytes(b'name = "\xff"')
    with pytest.raises(SchemaError, match="is not UTF-8"):
        Schema.load(bad)


def test_names_are_looked_up_or_refused() -> None:
    schema = Schema(KEYS, (ITEM,), (CLICK, BUY))
    assert schema.task("buy") is BUY
    assert schema.targets == (Target("click"), Target("buy"), Target("buy", "click"))
    with pytest.raises(SchemaError, match="task 'bye' is not in the schema"):
        schema.task("bye")
    assert tomllib.loads(schema.to_toml())["tasks"][1] == {"name": "buy", "label": "is_buy", "after": "click"}
    assert schema.columns == ("item_id", "is_click", "is_buy", "tab", "user_id")
