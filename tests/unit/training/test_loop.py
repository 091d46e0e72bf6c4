import signal

import pytest
import torch

from polyrec import objectives
from polyrec.config import TrainingConfig
from polyrec.data.loader import Position
from polyrec.errors import ConfigError, DataError, NotReadyError
from polyrec.training import Interrupted, Stage
from polyrec.training.events import read
from polyrec.training.schedule import evaluation_steps


def weights(model):
    return {name: one.clone() for name, one in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def on_training_rows(one):
    batches = [batch for _, batch in one.loader.epoch(0, Position())]
    return sum(float(sum(one.objective(one.model(batch), batch).values())) for batch in batches)


def test_training_lowers_the_loss(setup):
    one = setup()
    told = []
    plain = one.evaluate
    one.evaluate = lambda: told.append(on_training_rows(one)) or plain()
    one.train(epochs=30, lr=0.01, evaluations=1)
    assert told[-1] < 0.5 * told[0]


def test_a_history_counts_steps_and_rows(setup):
    history = setup().train(epochs=3, evaluations=2)
    assert (history.steps, history.rows, len(history.validations), history.stopped_early) == (24, 24 * 16, 6, False)
    assert [line["step"] for line in history.validations] == [4, 8, 12, 16, 20, 24]


def test_the_best_weights_are_put_back_at_the_end(setup):
    one = setup(scores=[0.1, 0.9, 0.5, 0.4])
    history = one.train()
    assert (history.best_step, history.best_score) == (8, 0.9)
    assert same(weights(one.model), one.at[1])
    assert not same(one.at[3], one.at[1])
    assert not one.model.training


def test_training_stops_when_the_patience_ends(setup):
    history = setup(scores=[0.5, 0.4, 0.3, 0.2]).train(patience=2)
    assert (history.steps, history.stopped_early, history.best_step) == (12, True, 4)


def test_an_equal_score_is_no_better_one(setup):
    history = setup(scores=[0.5, 0.5, 0.5, 0.5]).train(patience=2)
    assert (history.best_step, history.steps) == (4, 12)


def test_without_a_defined_score_the_last_weights_are_kept(setup):
    one = setup(scores=[None] * 4)
    history = one.train(patience=1)
    assert (history.best_score, history.best_step, history.stopped_early) == (None, 16, False)
    assert same(weights(one.model), one.at[-1])


def test_validation_sees_the_model_in_evaluation_mode_and_without_gradients(setup):
    one = setup()
    seen = []
    plain = one.evaluate
    one.evaluate = lambda: seen.append((one.model.training, torch.is_grad_enabled())) or plain()
    one.train()
    assert set(seen) == {(False, False)}


def test_only_the_trainable_parameters_move(setup):
    one = setup()
    before = weights(one.model)
    one.train(stage=Stage("only", TrainingConfig(epochs=1), trainable=("towers.*",)))
    changed = {name for name, value in weights(one.model).items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith("towers.")}


@pytest.mark.parametrize("balancer", objectives.balance.names())
def test_every_balancer_trains_sparse_tables_and_resumes_exactly(setup, tmp_path, balancer):
    whole = setup(balancer=balancer)
    whole.train(epochs=3, mask_ids=0.2)
    torch.manual_seed(0)
    first = setup(balancer=balancer)
    stop_at(first, 13)
    with pytest.raises(Interrupted):
        first.train(epochs=3, mask_ids=0.2, folder=tmp_path)
    second = setup(balancer=balancer)  # other initial weights: everything must come from the checkpoint
    second.train(epochs=3, mask_ids=0.2, folder=tmp_path, resume=True)
    assert same(weights(second.model), weights(whole.model))


def stop_at(one, step):
    """Ctrl-C while batch number `step` is being made for training (the first pass only looks at base rates)."""
    plain, passes, made = one.loader.epoch, [], []

    def epoch(number, start):
        passes.append(1)
        for after, batch in plain(number, start):
            if len(passes) > 1:
                made.append(1)
                if len(made) == step:
                    signal.raise_signal(signal.SIGINT)
            yield after, batch

    one.loader.epoch = epoch


def test_an_interrupted_run_says_where_it_stopped_and_how_to_go_on(setup, tmp_path):
    one = setup()
    before = signal.getsignal(signal.SIGINT)
    stop_at(one, 5)
    with pytest.raises(Interrupted, match=r"stopped at step 5 of 16 of stage 'only'; .*Run again with --resume"):
        one.train(folder=tmp_path)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupted_run_without_a_folder_says_that_nothing_was_kept(setup):
    one = setup()
    stop_at(one, 5)
    with pytest.raises(Interrupted, match=r"nothing was kept, since no folder was given"):
        one.train()


def test_a_run_killed_before_its_first_checkpoint_starts_anew(setup, tmp_path):
    whole = setup()
    whole.train(folder=tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    lines = (tmp_path / "whole" / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "killed" / "events.jsonl").write_text(lines[0] + lines[1][:20])
    torch.manual_seed(0)
    again = setup()
    again.train(folder=tmp_path / "killed", resume=True)
    assert same(weights(again.model), weights(whole.model))
    assert [line["step"] for line in read(tmp_path / "killed" / "events.jsonl")] == [4, 4, 8, 8, 12, 12, 16, 16, 16]


def test_a_finished_stage_is_read_back_and_not_trained_again(setup, tmp_path):
    first = setup()
    done = first.train(folder=tmp_path)
    before = (tmp_path / "events.jsonl").read_bytes()
    second = setup()
    again = second.train(folder=tmp_path, resume=True)
    assert same(weights(second.model), weights(first.model))
    assert (again.best_step, again.best_score, again.steps) == (done.best_step, done.best_score, done.steps)
    assert second.at == []
    assert (tmp_path / "events.jsonl").read_bytes() == before


def test_the_same_seed_makes_the_same_weights(setup):
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        one = setup()
        one.train(mask_ids=0.3)
        found.append(weights(one.model))
    assert same(*found)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_refused_with_its_term_and_step(setup, factor):
    one = setup()
    plain = one.loader.epoch

    def epoch(number, start):
        for place, (after, batch) in enumerate(plain(number, start)):
            if place == 2:
                batch.labels[:, 1] = factor
            yield after, batch

    one.loader.epoch = epoch
    with pytest.raises(ConfigError, match=r"the loss of term 'buy' is (nan|-?inf) at step 3.*Lower training.lr"):
        one.train()


def test_a_run_gone_wrong_leaves_no_checkpoint_of_it(setup, tmp_path):
    one = setup()
    plain = one.loader.epoch

    def epoch(number, start):
        for place, (after, batch) in enumerate(plain(number, start)):
            if place == 3:
                batch.labels[:, 1] = float("nan")
            yield after, batch

    one.loader.epoch = epoch
    with pytest.raises(ConfigError, match="at step 4"):
        one.train(folder=tmp_path, checkpoint_steps=1, evaluations=1)
    one.loader.epoch = plain
    one.train(folder=tmp_path, resume=True)
    assert all(torch.isfinite(value).all() for value in weights(one.model).values())


def test_a_checkpoint_of_another_model_is_refused(setup, tmp_path):
    setup().train(folder=tmp_path)
    other = setup()
    other.model.towers["click"] = torch.nn.Linear(8, 2)
    with pytest.raises(
        DataError,
        match=r"fit this model: 'towers.click.weight' is .1, 8. there and .2, 8. here",
    ):
        other.train(folder=tmp_path, resume=True)


def test_a_checkpoint_of_another_stage_is_refused(setup, tmp_path):
    setup().train(folder=tmp_path)
    saved = tmp_path / "checkpoints" / "only.safetensors"
    saved.rename(saved.with_name("other.safetensors"))
    with pytest.raises(NotReadyError, match=r"of stage 'only', not 'other'"):
        setup().train(stage=Stage("other", TrainingConfig()), folder=tmp_path, resume=True)


def test_a_balancer_for_other_terms_is_refused(setup):
    from polyrec.training import train

    one = setup()
    one.objective = objectives.build("pointwise", one.loader.epoch(0, Position()).__next__()[1].layout)
    balancer = objectives.balance.build("fixed", ("click", "cart"))
    with pytest.raises(ConfigError, match=r"gives terms click, buy, the balancer was built for click, cart"):
        train(Stage("a", TrainingConfig()), one.model, one.objective, balancer, one.loader, one.evaluate)


def test_a_balancer_may_look_at_the_batch_again_after_the_step(setup, monkeypatch):
    seen = []

    def after(balancer, again):
        before = dict(zip(balancer.terms, balancer.stacked(balancer.held).tolist(), strict=True))
        seen.append((before, {name: term.item() for name, term in again().items()}, one.model.training))

    def backward(balancer, terms, parameters, *, step, extra=None):
        balancer.held = {name: term.detach() for name, term in terms.items()}
        plain(balancer, terms, parameters, step=step, extra=extra)

    fixed = objectives.balance.fixed.Fixed
    plain = fixed.backward
    monkeypatch.setattr(fixed, "after", after)
    monkeypatch.setattr(fixed, "backward", backward)
    one = setup()
    one.train(epochs=1, lr=0.001, table_lr=0.001)
    assert len(seen) == one.loader.steps
    fell = [sum(before.values()) - sum(now.values()) for before, now, _ in seen]
    assert all(0 < change < 0.1 for change in fell)  # the same batch, after a small step
    assert all(training for _, _, training in seen)


def test_a_penalty_of_the_model_is_part_of_the_loss(setup):
    found = []
    for strength in (0.0, 10.0):
        torch.manual_seed(0)
        one = setup()
        plain = one.model.forward

        def forward(batch, plain=plain, model=one.model, strength=strength):
            answer = plain(batch)
            penalty = strength * model.shared.weight.square().sum()
            return type(answer)(answer.logits, answer.hidden, {"size": penalty})

        one.model.forward = forward
        one.train(epochs=5, lr=0.01)
        found.append(one.model.shared.weight.norm().item())
    assert found[1] < 0.9 * found[0]


def test_events_tell_losses_rate_and_validation(setup, tmp_path):
    setup(balancer="gradnorm").train(folder=tmp_path, lr=0.01, lr_decay="linear")
    lines = read(tmp_path / "events.jsonl")
    assert [line["kind"] for line in lines] == ["step", "evaluation"] * 4 + ["end"]
    told, judged = lines[0], lines[1]
    assert set(told["losses"]) == set(told["weights"]) == {"click", "buy"}
    assert (told["stage"], told["epoch"], told["step"], told["total_step"]) == ("only", 0, 4, 4)
    assert told["lr"] == pytest.approx(0.01 * (1 - 3 / 16))
    assert told["rows_per_second"] > 0
    assert judged["score"] < 0
    assert judged["metric"] == "auc"
    assert set(judged["cells"]) == {"home/click"}


def test_a_log_gets_a_line_for_every_validation(setup):
    lines = []
    setup(scores=[0.5, 0.4, None, 0.6]).train(log=lines.append)
    assert lines[0].startswith("epoch 1, step 4: validation 0.5000 (best so far), ")
    assert "step 8: validation 0.4000 (best 0.5000 at step 4)" in lines[1]
    assert "step 12: validation undefined (best 0.5000 at step 4)" in lines[2]
    assert "step 16: validation 0.6000 (best so far)" in lines[3]
    assert all(line.endswith(" rows/s") for line in lines)


def test_an_unknown_device_is_refused_with_the_ones_there_are(setup):
    with pytest.raises(ConfigError, match=r"device 'gpu' is not on this machine. Known: cpu"):
        setup().train(device="gpu")


def test_the_number_of_threads_is_set(setup):
    before = torch.get_num_threads()
    try:
        setup().train(threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("steps", "evaluations", "expected"), [(10, 1, []), (10, 2, [5]), (1, 4, []), (3, 9, [1, 2])])
def test_validations_are_spread_over_the_epoch(steps, evaluations, expected):
    assert sorted(evaluation_steps(steps, evaluations)) == expected


def test_half_precision_trains_weights_that_stay_float32(setup):
    seen = []

    class Watching(type(setup().model)):
        def forward(self, batch):
            output = super().forward(batch)
            seen.append(output.logits["click"].dtype)
            return output

    torch.manual_seed(0)
    half, whole = setup(), setup()
    half.model = Watching()
    whole.model.load_state_dict(half.model.state_dict())
    told = []
    plain = half.evaluate
    half.evaluate = lambda: told.append(on_training_rows(half)) or plain()
    half.train(epochs=30, lr=0.01, evaluations=1, precision="bf16")
    whole.train(epochs=30, lr=0.01, evaluations=1)
    assert told[-1] < 0.5 * told[0]
    assert set(seen) == {torch.bfloat16, torch.float32}, "in training, and where it is validated"
    assert {one.dtype for one in weights(half.model).values()} == {torch.float32}
    assert not same(weights(half.model), weights(whole.model))
