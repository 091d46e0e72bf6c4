from dataclasses import replace
from pathlib import Path

import pytest

from polyrec import recipes
from polyrec.bench.grid import Grid
from polyrec.bench.suite import NAMES, load, read
from polyrec.data.simulate.presets import PRESETS
from polyrec.errors import ConfigError, PolyrecError
from polyrec.recipes.folder import RunFolder

WORLD = {"name": "w", "simulate": {"rows": 100}}
PLAIN = {"name": "mine", "recipes": ["pooled", "mmoe"], "data": [WORLD]}


@pytest.mark.parametrize("name", NAMES)
def test_suites_of_the_package_can_be_read_and_fit_their_recipes(name):
    suite, _ = load(name)
    assert suite.name == name
    assert suite.all[0].name == suite.baseline
    for data in suite.data:
        if data.simulate is not None:
            Grid(suite.only([data.name]), Path("out"), Path()).check()


def test_comparing_suites_have_five_seeds_and_tune_all_alike():
    for name in ("real", "truth", "papers"):
        suite, _ = load(name)
        assert len(suite.seeds) >= 5
        assert suite.trials > 1
        assert len({tuple(suite.space_of(one)) for one in suite.all}) == 1


def test_quick_has_every_recipe_and_truth_every_preset():
    assert {one.recipe for one in load("quick")[0].all} == set(recipes.names())
    assert {one.simulate.preset for one in load("truth")[0].data if one.simulate} == set(PRESETS)


def test_a_cells_run_has_the_suites_options_then_the_datas_then_its_own():
    values = {
        **PLAIN,
        "training": {"epochs": 9, "lr": 0.1},
        "data": [{**WORLD, "training": {"lr": 0.2}, "model": {"dim": 4}, "transfer": {"target": "s1"}}],
        "contenders": [{"name": "big", "recipe": "mmoe", "model": {"dim": 32}, "training": {"epochs": 2}}],
    }
    suite = read(values, "suite")
    big = next(one for one in suite.all if one.name == "big")
    run = suite.run(suite.data[0], suite.data[0].config(Path("w")), big, 3)
    assert run.training == {"epochs": 2, "lr": 0.2, "seed": 3}
    assert run.model == {"dim": 32}
    assert run.transfer == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipes": ["pooled", "mmo"]}, "Did you mean 'mmoe'"),
        ({"baseline": "single"}, "'single' is not among the recipes"),
        ({"seeds": [0, 0]}, "same seed twice"),
        ({"trials": 0}, "trials = 0"),
        ({"recipes": [], "contenders": []}, "nothing to run. Add recipes"),
        ({"data": []}, r"data = \[\]: it is empty. Give at least 1"),
        ({"seeds": []}, r"seeds = \[\]: it is empty. Give at least 1"),
        ({"data": [{"name": "a/b", "simulate": {}}]}, "is to be a folder's"),
        ({"name": "../../evil"}, r"suite: name '../../evil' is to be a folder's\. Use letters"),
        ({"data": [{"name": "w"}]}, "needs either run = "),
        ({"data": [WORLD, WORLD]}, "is there twice"),
        ({"space": {"training.lr": 3}}, "is no range"),
        ({"data": [{"name": "w", "simulate": {"preset": "conflcit"}}]}, "Did you mean 'conflict'"),
        ({"sed": [1]}, "option 'sed' is not known"),
    ],
)
def test_mistakes_in_a_suite_are_told_with_what_is_known(change, words):
    with pytest.raises(ConfigError, match=words):
        read({**PLAIN, **change}, "suite")


def test_a_wrong_item_is_told_once_and_not_again_as_a_list_that_is_too_short():
    wrong = {**PLAIN, "seeds": [-1], "data": [{"name": "w", "simulate": {"rows": 0}}]}
    with pytest.raises(ConfigError, match="suite has 2 problems") as told:
        read(wrong, "suite")
    assert sorted(line.split(" = ")[0] for line in str(told.value).splitlines()[1:]) == [
        "  - data.0.simulate.rows",
        "  - seeds.0",
    ]


def test_every_mistake_in_a_suite_is_told_at_once_and_each_once():
    values = {
        "name": "/mine",
        "recipes": ["pooled", "mmo", "*", "sta"],
        "seeds": [0, 0],
        "trials": 0,
        "space": {"training.lr": 3, "lr": [1]},
        "data": [{"name": "v", "simulate": {"preset": "conflcit"}}, {"name": "w"}, WORLD],
        "contenders": [{"name": ".big", "recipe": "mmoo", "space": {"dim": [4]}, "modle": {}}],
    }
    with pytest.raises(ConfigError) as found:
        read(values, "suite")
    told = str(found.value)
    for words in (
        "recipe 'mmo' is not known",
        "recipe 'sta' is not known",
        "trials = 0",
        "[space]: training.lr = 3 is no range",
        "[space]: 'lr' names no option",
        "Did you mean 'conflict'",
        "data 'w' needs either run",
        "'/mine' is to be a folder's",
        "'.big' is to be a folder's",
        "recipe 'mmoo' is not known",
        "[space] of .big: 'dim' names no option",
        "Did you mean 'model'",
    ):
        assert told.count(words) == 1, words
    assert told.startswith("suite has 12 problems:")


def test_mistakes_of_the_suite_as_a_whole_are_told_together():
    with pytest.raises(ConfigError, match="3 problems") as found:
        read({**PLAIN, "seeds": [0, 0], "baseline": "single", "data": [WORLD, WORLD]}, "suite")
    for words in ("same seed twice", "'w' is there twice", "'single' is not among"):
        assert words in str(found.value)


def test_a_mistake_of_every_recipe_is_told_once(tmp_path):
    values = {**PLAIN, "recipes": ["*"], "trials": 2, "space": {"training.lrr": [0.1], "modle.dim": [4]}}
    values["data"] = [{**WORLD, "transfer": {"target": "s1"}}]
    with pytest.raises(ConfigError) as found:
        Grid(read(values, "suite"), tmp_path / "out", tmp_path).plan()
    told = str(found.value).splitlines()
    assert len(told) == 3, told
    more = len(recipes.names()) - 3
    for words in ("Did you mean 'lr'", "'modle' is no table"):
        (line,) = (one for one in told if words in one)
        assert f"on w and {more} more: [space]" in line


def test_unknown_suites_and_data_sets_are_refused():
    with pytest.raises(ConfigError, match=r"Did you mean 'truth'\? Or name a .toml file"):
        load("truht")
    with pytest.raises(ConfigError, match="Did you mean 'starved'"):
        load("truth")[0].only(["starve"])


def test_what_cannot_run_is_told_before_anything_is_trained(tmp_path):
    values = {
        **PLAIN,
        "data": [{"name": "files", "run": "none/run.toml"}, {**WORLD, "model": {"widht": 4}, "training": {"lrr": 1}}],
    }
    with pytest.raises(PolyrecError) as found:
        Grid(read(values, "suite"), tmp_path / "out", tmp_path).run()
    assert "none/run.toml does not exist" in str(found.value)
    assert "Did you mean 'lr'" in str(found.value)
    assert not (tmp_path / "out").exists()


def test_a_recipe_for_one_target_is_refused_without_a_target_before_anything_is_trained(tmp_path):
    suite = read({**PLAIN, "recipes": ["pooled", "ecat"]}, "suite")
    with pytest.raises(ConfigError, match=r"ecat on w: recipe 'ecat' is for one target scenario"):
        Grid(suite, tmp_path / "out", tmp_path).plan()
    aimed = read({**PLAIN, "recipes": ["pooled", "ecat"], "data": [{**WORLD, "transfer": {"target": "s1"}}]}, "suite")
    Grid(aimed, tmp_path / "out", tmp_path).plan()


def test_a_space_that_a_recipe_does_not_take_is_told_before_anything_is_trained(tmp_path):
    suite = read({**PLAIN, "trials": 2, "space": {"model.experts": [2, 4]}}, "suite")
    with pytest.raises(ConfigError, match=r"pooled on w: .*option 'experts' is not known"):
        Grid(suite, tmp_path / "out", tmp_path).plan()
    Grid(replace(suite, trials=1), tmp_path / "out", tmp_path).plan()


def test_two_suites_do_not_train_in_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("polyrec.bench.grid.PATIENCE", 0.1)
    out = tmp_path / "out"
    with (
        RunFolder(out).held(),
        pytest.raises(ConfigError, match=r"another process is training in it\. Wait for it to end, or name another"),
    ):
        Grid(read(PLAIN, "suite"), out, tmp_path).run()
    assert not list(out.iterdir())


def test_a_cell_that_someone_trains_by_hand_is_told_as_failed_and_not_taken_away(tmp_path):
    said = []
    suite = read({**PLAIN, "recipes": ["pooled"], "seeds": [0]}, "suite")
    grid = Grid(suite, tmp_path / "out", tmp_path, said.append)
    cell = RunFolder(tmp_path / "out" / "runs" / "w" / "pooled" / "seed-0")
    (tmp_path / "out" / "data").mkdir(parents=True)  # of a suite that was begun
    with cell.held():
        (cell.path / "run.toml").write_text("by hand")
        (line,) = grid.run()
    assert line["status"] == "failed"
    assert "another process is training in it" in line["error"]
    assert cell.run.read_text() == "by hand"


def test_a_folder_of_something_else_is_left_as_it_is(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds report.html, which is not of `polyrec bench`"):
        Grid(read(PLAIN, "suite"), tmp_path, tmp_path).run()
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
