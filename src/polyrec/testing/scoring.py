"""Checks on how a model scores."""

import torch
from safetensors.torch import load, save
from torch import nn

from polyrec.batch import Batch, Field, Jagged, Layout
from polyrec.declare import parse
from polyrec.errors import ConfigError
from polyrec.schema import Task
from polyrec.shapes import Tensor
from polyrec.testing.layouts import example_layout, random_batch
from polyrec.testing.subject import HEADS, Subject, answer, gap, require, scores

NEAR = 1e-5  # of 1 + the largest logit: what another order of float additions may change


def one_logit_per_row_and_head(subject: Subject) -> None:
    """Every head answers with one finite logit a row at 0, 1 and 5 rows, when training and when scoring."""
    layout = example_layout()
    model = subject.fresh(layout)
    for training in (True, False):
        model.train(training)
        for rows in (0, 1, 5):
            logits = answer(model, random_batch(layout, rows, seed=rows)).logits
            require(set(logits) == set(HEADS), f"asked for heads {HEADS}, the model answered {tuple(logits)}.")
            for head, logit in logits.items():
                shape = tuple(logit.shape)
                require(shape == (rows,), f"head {head!r} has shape {shape} for {rows} rows; it must be ({rows},).")
                require(bool(torch.isfinite(logit).all()), f"head {head!r} is not finite at {rows} rows.")


def same_score_in_any_company_and_order(subject: Subject) -> None:
    """A row's score depends on nothing but the row."""
    layout = example_layout()
    model = subject.stirred(layout)
    batch = random_batch(layout, 40, seed=1, unknown=0.2)
    together = scores(model, batch)
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    apart = gap(scores(model, batch.select(order)), together[:, order])
    require(apart <= NEAR, f"scores change by {apart:.1e} when rows are reordered.")
    for rows in (torch.arange(0, 40, 3), torch.tensor([7, 7, 2])):
        apart = gap(scores(model, batch.select(rows)), together[:, rows])
        require(apart <= NEAR, f"scores change by {apart:.1e} in other company.")
    alone = torch.cat([scores(model, batch.select(torch.tensor([row]))) for row in range(40)], 1)
    apart = gap(alone, together)
    require(apart <= NEAR, f"a row scored alone differs by {apart:.1e} from the same row in a batch.")


def scoring_changes_nothing(subject: Subject) -> None:
    """State, buffers and scores are the same after scoring as before."""
    layout = example_layout()
    model = subject.stirred(layout)
    before = _copy(model)
    batch = random_batch(layout, 20, seed=2, unknown=0.2)
    first = scores(model, batch)
    for rows in (0, 1, 50):
        scores(model, random_batch(layout, rows, seed=rows))
    require(not model.training, "scoring switched the model to training.")
    require(torch.equal(first, scores(model, batch)), "the same rows got other scores the second time.")
    for name, value in _copy(model).items():
        require(torch.equal(value, before[name]), f"scoring changed {name!r}.")


def state_round_trip_is_exact(subject: Subject) -> None:
    """Parameters and buffers, written as safetensors and read into a fresh model, give bit-identical scores."""
    layout = example_layout()
    model, other = subject.stirred(layout), subject.fresh(layout, seed=9).eval()
    other.load_state_dict(load(save(_copy(model))), strict=True)
    batch = random_batch(layout, 20, seed=3, unknown=0.2)
    same = torch.equal(scores(model, batch), scores(other, batch))
    require(same, "a model restored from its state scores differently: part of what it learned is not in the state.")


def unknown_scenario_is_scored(subject: Subject) -> None:
    """Rows of a scenario never declared (-1) get finite scores, whatever the rows beside them."""
    layout = example_layout()
    model = subject.stirred(layout)
    batch = random_batch(layout, 12, seed=4, unknown=1.0)
    unknown = scores(model, batch)
    require(bool(torch.isfinite(unknown).all()), "rows of unknown scenario have no finite score.")
    known = random_batch(layout, 30, seed=5)
    mixed = scores(model, _beside(batch, known))[:, : len(batch)]
    apart = gap(mixed, unknown)
    require(apart <= NEAR, f"rows of unknown scenario change by {apart:.1e} beside rows of known ones.")


def empty_sequences_are_scored(subject: Subject) -> None:
    """Rows whose sequences are empty, some or all of them, get finite scores."""
    layout = example_layout()
    model = subject.stirred(layout)
    batch = random_batch(layout, 6, seed=6)
    nothing = Jagged(torch.zeros(0, dtype=torch.int32), torch.zeros(7, dtype=torch.int32))
    empty = Batch(
        layout=layout,
        ids=batch.ids,
        numerics=batch.numerics,
        scenario=batch.scenario,
        labels=batch.labels,
        observed=batch.observed,
        weight=batch.weight,
        user=batch.user,
        sequences={one.name: nothing for one in layout.sequences},
        vectors=batch.vectors,
    )
    require(bool(torch.isfinite(scores(model, empty)).all()), "rows with empty sequences have no finite score.")


def ids_stay_whole(subject: Subject) -> None:
    """Ids above 2^24 stay apart: none passes through a 32-bit float."""
    first, count = 2**24, 64
    layout = Layout(("only",), (Task("click", "c"), Task("buy", "b")), (Field("item", first + count, "item", dim=1),))
    model = subject.stirred(layout)  # as built, a deep model's scores of a single embedding hardly differ
    ids = torch.arange(first, first + count, dtype=torch.int32)[:, None]
    batch = random_batch(Layout(layout.scenarios, layout.tasks, (Field("item", 1),)), count)
    batch = Batch(
        layout=layout,
        ids=ids,
        numerics=batch.numerics,
        scenario=batch.scenario,
        labels=batch.labels,
        observed=batch.observed,
        weight=batch.weight,
        user=batch.user,
    )
    different = len(torch.unique(scores(model, batch)[0]))
    require(
        different > 0.75 * count,
        f"{count} ids from 2^24 on have only {different} different scores: ids pass through a 32-bit float.",
    )


def unknown_option_is_refused(subject: Subject) -> None:
    """An option that the model does not have is an error that names it, where options are declared."""
    if subject.config is None:
        return
    try:
        parse(subject.config, {"no_such_option": 1}, f"[model] of {subject.name}")
    except ConfigError as reason:
        require("no_such_option" in str(reason), f"the refusal does not name the option: {reason}")
        return
    raise AssertionError(f"{subject.config.__name__} takes the unknown option 'no_such_option' silently.")


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}


def _beside(one: Batch, other: Batch) -> Batch:
    """The rows of one batch, then those of the other."""

    def joined(a: Jagged, b: Jagged) -> Jagged:
        return Jagged(torch.cat([a.values, b.values]), torch.cat([a.offsets, b.offsets[1:] + a.offsets[-1]]))

    return Batch(
        layout=one.layout,
        ids=torch.cat([one.ids, other.ids]),
        numerics=torch.cat([one.numerics, other.numerics]),
        scenario=torch.cat([one.scenario, other.scenario]),
        labels=torch.cat([one.labels, other.labels]),
        observed=torch.cat([one.observed, other.observed]),
        weight=torch.cat([one.weight, other.weight]),
        user=torch.cat([one.user, other.user]),
        sequences={name: joined(value, other.sequences[name]) for name, value in one.sequences.items()},
        vectors={name: torch.cat([value, other.vectors[name]]) for name, value in one.vectors.items()},
    )
