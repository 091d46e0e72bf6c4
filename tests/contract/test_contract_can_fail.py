"""Every check of the contract fails for a model that breaks its rule, and says what is broken."""

import pytest
import torch
from torch import nn

from polyrec.batch import Output
from polyrec.errors import ConfigError
from polyrec.models.inputs import InputOptions, Inputs
from polyrec.testing import CHECKS, Subject, check

OPTIONS = InputOptions(dim=4, tables="dense")


class Honest(nn.Module):
    """A small model that keeps the contract; the others break one rule each."""

    def __init__(self, layout, heads):
        super().__init__()
        self.heads = tuple(heads)
        self.inputs = Inputs(layout, OPTIONS)
        self.hidden = nn.Linear(self.inputs.width, 8)
        self.end = nn.Linear(8, len(self.heads))

    def read(self, batch):
        return torch.relu(self.hidden(self.inputs(batch)))

    def forward(self, batch):
        return self.answer(self.end(self.read(batch)))

    def answer(self, logits):
        return Output({head: logits[:, place] for place, head in enumerate(self.heads)})


class ForgetsAHead(Honest):
    def answer(self, logits):
        return Output({self.heads[0]: logits[:, 0]})


class AnswersColumns(Honest):
    def answer(self, logits):
        return Output({head: logits[:, [place]] for place, head in enumerate(self.heads)})


class LooksAtBatchMates(Honest):
    def read(self, batch):
        h = super().read(batch)
        return h - h.mean(0) if len(batch) else h


class DependsOnOrder(Honest):
    def read(self, batch):
        h = super().read(batch)
        return h + 0.01 * torch.arange(len(batch))[:, None]


class RoundsInHalfPrecision(Honest):
    def read(self, batch):
        return torch.relu(self.hidden(self.inputs(batch)) + 256) - 256


class CountsItsCalls(Honest):
    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, batch):
        self.calls += 1
        return super().forward(batch)


class RemembersOutsideItsState(Honest):
    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.shift = torch.randn(8)

    def read(self, batch):
        return super().read(batch) + self.shift


class DividesByUnknown(Honest):
    def read(self, batch):
        known = (batch.scenario >= 0).float()[:, None]
        return super().read(batch) / known


class DividesByLength(Honest):
    def read(self, batch):
        h = super().read(batch)
        if "tags" in batch.sequences:
            h = h * (1.0 / batch.sequences["tags"].lengths[:, None])
            h = torch.where(torch.isfinite(h), h, h) if len(batch) else h
        return h


class ReadsIdsAsFloats(Honest):
    def forward(self, batch):
        ids = batch.ids.float()[:, :1]
        return self.answer(torch.sin(ids / 7.0) * torch.ones(len(self.heads)))


class HasAnIdleParameter(Honest):
    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.idle = nn.Parameter(torch.zeros(3))


class DetachesItsEmbeddings(Honest):
    def read(self, batch):
        return torch.relu(self.hidden(self.inputs(batch).detach()))


SHARED = nn.Linear(8, 2)


class SharesAModule(Honest):
    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.end = SHARED


class LearnsNothing(Honest):
    def forward(self, batch):
        return self.answer(self.end(self.read(batch)) * 1e-8)


class MixesAllScenarios(Honest):
    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.own = nn.Parameter(torch.ones(len(layout.scenarios), 8))

    def read(self, batch):
        return super().read(batch) * self.own.mean(0)


class DeclaresThatItMixes(MixesAllScenarios):
    reads_other_scenarios = True


class DeclaresWhatItDoesNot(Honest):
    reads_other_scenarios = True


class LearnsFromOtherScenarios(Honest):
    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.own = nn.Parameter(torch.ones(len(layout.scenarios), 8))

    def read(self, batch):
        own = self.own - self.own.mean(0) + self.own.mean(0).detach()  # same value, gradients for everyone
        return super().read(batch) * own[batch.scenario.clamp(min=0)]


class MasksEveryTower(Honest):
    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.towers = nn.ModuleList(nn.Linear(8, len(self.heads)) for _ in layout.scenarios)

    def forward(self, batch):
        h = self.read(batch)
        every = torch.stack([tower(h) for tower in self.towers])  # [S, B, T]
        mine = batch.scenario.clamp(min=0)[None, :, None].expand(1, -1, len(self.heads))
        return self.answer(every.gather(0, mine)[0])


class PairsEveryTower(MasksEveryTower):
    reads_other_scenarios = True

    def __init__(self, layout, heads):
        super().__init__(layout, heads)
        self.towers = nn.ModuleList(nn.Linear(8, len(self.heads)) for _ in range(len(layout.scenarios) ** 2))


class FixesItsRows(Honest):
    def read(self, batch):
        h = super().read(batch)
        return torch.stack([h[row] for row in range(int(h.shape[0]))]) if len(batch) else h


BROKEN = [
    (ForgetsAHead, "one_logit_per_row_and_head", "answered"),
    (AnswersColumns, "one_logit_per_row_and_head", "shape|Type-check"),
    (LooksAtBatchMates, "same_score_in_any_company_and_order", "company"),
    (DependsOnOrder, "same_score_in_any_company_and_order", "reordered"),
    (RoundsInHalfPrecision, "trains_in_half_precision", "of their size"),
    (CountsItsCalls, "scoring_changes_nothing", "'calls'"),
    (RemembersOutsideItsState, "state_round_trip_is_exact", "not in the state"),
    (DividesByUnknown, "unknown_scenario_is_scored", "no finite score"),
    (DividesByLength, "empty_sequences_are_scored", "no finite score"),
    (ReadsIdsAsFloats, "ids_stay_whole", "32-bit float"),
    (HasAnIdleParameter, "every_parameter_learns", "'idle'"),
    (DetachesItsEmbeddings, "every_parameter_learns", "never learn"),
    (SharesAModule, "models_share_nothing", "the same tensor"),
    (LearnsNothing, "training_lowers_the_loss", "fall by a fifth"),
    (MixesAllScenarios, "scenario_parameters_touch_only_their_rows", "belongs to others"),
    (LearnsFromOtherScenarios, "scenario_parameters_touch_only_their_rows", "gradient"),
    (DeclaresWhatItDoesNot, "scenario_parameters_touch_only_their_rows", "Drop it"),
    (MasksEveryTower, "work_per_row_is_flat_in_scenarios", "30 scenarios"),
    (PairsEveryTower, "work_per_row_is_flat_in_scenarios", "30 scenarios"),
    (FixesItsRows, "exports_with_dynamic_rows", "open rows"),
]


@pytest.mark.parametrize("rule", CHECKS)
def test_a_small_honest_model_keeps_the_contract(rule):
    CHECKS[rule](Subject.of(Honest))


@pytest.mark.parametrize(("model", "rule", "words"), BROKEN, ids=[f"{one[0].__name__}" for one in BROKEN])
def test_a_broken_model_is_caught_by_the_rule_it_breaks(model, rule, words):
    with pytest.raises((AssertionError, TypeError), match=words):  # TypeError: where shapes are checked at run time
        CHECKS[rule](Subject.of(model))


def test_a_model_may_read_other_scenarios_where_it_declares_it():
    CHECKS["scenario_parameters_touch_only_their_rows"](Subject.of(DeclaresThatItMixes))
    CHECKS["work_per_row_is_flat_in_scenarios"](Subject("declared", lambda *of: declaring(MasksEveryTower(*of))))


def declaring(model):
    model.reads_other_scenarios = True
    return model


def test_every_rule_has_a_model_that_breaks_it():
    assert {rule for _, rule, _ in BROKEN} == set(CHECKS) - {"unknown_option_is_refused"}


def test_options_that_take_anything_are_caught():
    class Loose:
        def __init__(self, **anything):
            self.anything = anything

        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            from pydantic_core import core_schema

            return core_schema.no_info_plain_validator_function(lambda values: cls(**values))

    with pytest.raises(AssertionError, match="no_such_option"):
        CHECKS["unknown_option_is_refused"](Subject("loose", Honest, Loose))


def test_check_names_the_model_and_the_rule():
    with pytest.raises(AssertionError, match="CountsItsCalls breaks scoring_changes_nothing"):
        check(CountsItsCalls, only=["scoring_changes_nothing"])


def test_an_unknown_check_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"check 'exprots_with_dynamic_rows' .* Did you mean 'exports_with"):
        check(Honest, only=["exprots_with_dynamic_rows"])


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"model 'mmeo' is not registered.*Did you mean 'mmoe'"):
        check("mmeo")
