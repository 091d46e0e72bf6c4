import builtins

import numpy as np
import pytest

from polyrec.bench.search import SAMPLERS, Tried, best, propose
from polyrec.bench.space import read_space
from polyrec.errors import ConfigError, NotReadyError

SPACE = read_space(
    {"training.lr": {"low": 1e-4, "high": 1e-1, "log": True}, "model.widths": [[64], [128, 64]], "model.dim": [4, 8]},
    "[space]",
)


def searched(sampler, trials, score, seed=0, start=()):
    tried = list(start)
    while len(tried) < trials:
        settings = propose(SPACE, tried, sampler, seed)
        tried.append(Tried(settings, score(settings)))
    return tried


def hill(settings):
    """Best at a rate of 0.01 and dim 8."""
    return -abs(np.log(settings.get("training.lr", 1e-4) / 1e-2)) - (settings.get("model.dim") != 8)


@pytest.fixture(params=sorted(SAMPLERS))
def sampler(request):
    if request.param == "tpe":
        pytest.importorskip("optuna", reason="the search that needs optuna (pip install 'polyrec[tune]')")
    return request.param


def test_the_first_settings_are_the_runs_own(sampler):
    assert propose(SPACE, [], sampler) == {}


def test_settings_lie_within_the_space(sampler):
    for one in searched(sampler, 15, hill)[1:]:
        assert set(one.settings) == set(SPACE)
        assert 1e-4 <= one.settings["training.lr"] <= 1e-1
        assert tuple(one.settings["model.widths"]) in ((64,), (128, 64))


def test_a_search_that_was_broken_off_goes_on_as_it_would_have(sampler):
    whole = searched(sampler, 13, hill)
    assert searched(sampler, 13, hill, start=whole[:6]) == whole


def test_settings_differ_between_trials_and_seeds(sampler):
    rates = [one.settings["training.lr"] for one in searched(sampler, 8, hill)[1:]]
    assert len(set(rates)) == len(rates)
    assert rates != [one.settings["training.lr"] for one in searched(sampler, 8, hill, seed=1)[1:]]


def test_failed_trials_do_not_stop_a_search(sampler):
    tried = searched(sampler, 14, lambda settings: None)
    assert len(tried) == 14
    assert best(tried) is None


def test_random_draws_do_not_depend_on_scores_or_on_the_other_options():
    one = [found.settings for found in searched("random", 6, hill)]
    other = [found.settings for found in searched("random", 6, lambda settings: 0.0)]
    assert one == other
    alone = propose({"training.lr": SPACE["training.lr"]}, [Tried({}, 0.0)], "random")
    assert alone["training.lr"] == one[1]["training.lr"]


def test_tpe_finds_a_hill_better_than_chance_does():
    pytest.importorskip("optuna", reason="the search that needs optuna (pip install 'polyrec[tune]')")
    late = [np.mean([one.score for one in searched("tpe", 40, hill, seed=seed)[25:]]) for seed in range(2)]
    chance = [np.mean([one.score for one in searched("random", 40, hill, seed=seed)[25:]]) for seed in range(2)]
    assert min(late) > max(chance)


def test_the_best_is_the_first_of_equals():
    tried = [Tried({"a.b": 1}, None), Tried({"a.b": 2}, 0.5), Tried({"a.b": 3}, 0.5)]
    assert best(tried) == tried[1]
    assert best([]) is None


def test_unknown_samplers_and_empty_spaces_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'random'"):
        propose(SPACE, [], "randon")
    with pytest.raises(ConfigError, match="nothing to search"):
        propose({}, [], "random")


def test_without_optuna_the_message_says_what_to_do(monkeypatch):
    real = builtins.__import__

    def refuse(name, *more, **options):
        if name.startswith("optuna"):
            raise ImportError(name)
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(NotReadyError, match=r"pip install 'polyrec\[tune\]', or search at random"):
        propose(SPACE, [Tried({}, 0.0)], "tpe")
