"""Checks on models with a user and an item vector, beside the contract of all models.

from polyrec.testing.towers import check_towers
check_towers("sass")
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn

from polyrec.batch import Batch, Layout
from polyrec.models.towers import TwoTowers
from polyrec.shapes import Tensor
from polyrec.testing.layouts import example_layout, random_batch
from polyrec.testing.scoring import NEAR
from polyrec.testing.subject import HEADS, Factory, Subject, answer, gap, require

ROWS = 30


def forward_answers_with_both_vectors(subject: Subject) -> None:
    """Hidden `user` and `item` are what `user()` and `item()` give, of length 1, at 0, 1 and 5 rows."""
    layout = example_layout()
    model = subject.stirred(layout)
    for rows in (0, 1, 5):
        batch = random_batch(layout, rows, seed=rows, unknown=0.2)
        user, item = _vectors(model, batch)
        with torch.no_grad():
            hidden = answer(model, batch).hidden
        for name, vector in (("user", user), ("item", item)):
            require(name in hidden, f"forward has no hidden {name!r}; it has {', '.join(hidden) or 'none'}.")
            require(gap(hidden[name], vector) <= NEAR, f"hidden {name!r} is not what {name}() gives.")
            require(vector.shape[:1] == (rows,), f"{name}() gives {list(vector.shape)} for {rows} rows.")
            length = vector.norm(dim=1)
            require(gap(length, torch.ones_like(length)) <= NEAR, f"{name}() gives vectors that are not of length 1.")


def scores_order_as_inner_products(subject: Subject) -> None:
    """Every head orders rows as the inner product of their vectors does, so that search finds what scores best."""
    layout = example_layout()
    model = subject.stirred(layout)
    batch = random_batch(layout, ROWS, seed=1)
    user, item = _vectors(model, batch)
    near = (user * item).sum(1)
    with torch.no_grad():
        logits = answer(model, batch).logits
    for head in HEADS:
        line = torch.stack([near, torch.ones_like(near)], 1)
        fitted = torch.linalg.lstsq(line, logits[head][:, None]).solution
        require(gap((line @ fitted)[:, 0], logits[head]) <= 1e-4, f"head {head!r} is no line in the inner product.")


def user_vectors_ignore_items(subject: Subject) -> None:
    """A user vector does not change with the item's features, nor an item vector with those of user and context."""
    layout = example_layout()
    model = subject.stirred(layout)
    batch, other = random_batch(layout, ROWS, seed=2), random_batch(layout, ROWS, seed=3)
    user, item = _vectors(model, batch)
    again = _vectors(model, _with_sides_of(batch, other, ("item",)))
    require(torch.equal(user, again[0]), "the user vector changed with the item's features.")
    require(gap(again[1], item) > NEAR, "the item vector did not change with the item's features.")
    again = _vectors(model, _with_sides_of(batch, other, ("user", "context")))
    require(torch.equal(item, again[1]), "the item vector changed with features of user or context.")
    require(gap(again[0], user) > NEAR, "the user vector did not change with the user's features.")


def vectors_do_not_depend_on_company(subject: Subject) -> None:
    """A row's vectors are the same alone, in another order and beside other rows."""
    layout = example_layout()
    model = subject.stirred(layout)
    batch = random_batch(layout, ROWS, seed=4, unknown=0.2)
    together = _vectors(model, batch)
    for rows in (torch.arange(ROWS - 1, -1, -1), torch.tensor([3]), torch.tensor([7, 7, 2])):
        for whole, apart in zip(together, _vectors(model, batch.select(rows)), strict=True):
            require(gap(apart, whole[rows]) <= NEAR, "a row's vector changed with the rows beside it.")


TOWER_CHECKS: Mapping[str, Callable[[Subject], None]] = {
    one.__name__: one
    for one in (
        forward_answers_with_both_vectors,
        scores_order_as_inner_products,
        user_vectors_ignore_items,
        vectors_do_not_depend_on_company,
    )
}


def check_towers(model: str | Factory) -> None:
    """Hold a model with two towers to its part of the contract.

    Raises:
        AssertionError: the model breaks a rule; the message has the rule's name and what was seen.

    Example:
        >>> check_towers("two_tower")
    """
    subject = Subject.of(model)
    for name, rule in TOWER_CHECKS.items():
        try:
            rule(subject)
        except AssertionError as reason:
            raise AssertionError(f"{subject.name} breaks {name}: {reason}") from reason


def _vectors(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    require(isinstance(model, TwoTowers), f"{type(model).__name__} has no user() and item().")
    assert isinstance(model, TwoTowers)
    with torch.no_grad():
        return model.user(batch), model.item(batch)


def _with_sides_of(batch: Batch, other: Batch, sides: tuple[str, ...]) -> Batch:
    """The batch with the features of these sides taken from another."""
    layout: Layout = batch.layout

    def pick(fields: tuple[object, ...], mine: Tensor, theirs: Tensor) -> Tensor:
        here = torch.tensor([getattr(one, "side", "") in sides for one in fields])
        return torch.where(here, theirs, mine)

    return replace(
        batch,
        ids=pick(layout.categorical, batch.ids, other.ids),
        numerics=pick(layout.numeric, batch.numerics, other.numerics),
        sequences={one.name: (other if one.side in sides else batch).sequences[one.name] for one in layout.sequences},
        vectors={one.name: (other if one.side in sides else batch).vectors[one.name] for one in layout.vectors},
    )
