"""What models with a user and an item vector share: which columns each tower reads, and logits from two vectors."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn import functional

from polyrec.batch import Batch, Output
from polyrec.errors import ConfigError
from polyrec.models.heads import by_head, checked
from polyrec.models.inputs import Inputs
from polyrec.shapes import Float, Int, Tensor

SCALE = 10.0  # of the inner product of two unit vectors, where a head's logit starts


@runtime_checkable
class TwoTowers(Protocol):
    """A model whose score is the inner product of a user's and an item's vector.

    The user vector depends on features of the user and the context and on the scenario; the item vector on
    features of the item and on the scenario. `forward` answers with both as hidden `user` and `item`.
    """

    def user(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The user vector of each row, of length 1; item features are not read."""
        ...

    def item(self, batch: Batch) -> Float[Tensor, "B D"]:
        """The item vector of each row, of length 1; features of user and context are not read."""
        ...


class Sides(nn.Module):
    """The columns of a model's inputs that each tower reads.

    A tower that no feature belongs to reads the scenario's embedding alone.

    Args:
        inputs: the model's.
        scenario: whether both towers read the scenario's embedding beside the features.

    Raises:
        ConfigError: a side without a feature in a model that has no scenario embedding.
    """

    user: Tensor
    item: Tensor
    context: Tensor

    def __init__(self, inputs: Inputs, *, scenario: bool) -> None:
        super().__init__()
        also = ("scenario",) if scenario else ()
        user = inputs.columns(sides=("user", "context"), names=also)
        item = inputs.columns(sides=("item",), names=also)
        for what, found in (("user", user), ("item", item)):
            if not found and inputs.scenario is None:
                raise ConfigError(
                    f"no feature has side = {what!r}: a {what} tower would have nothing to read. "
                    f'Set side = "{what}" on the features that describe it.'
                )
        alone = inputs.columns(names=("scenario",)) if inputs.scenario is not None else []
        for name, columns in (
            ("user", user or alone),
            ("item", item or alone),
            ("context", inputs.columns(sides=("context",))),
        ):
            self.register_buffer(name, torch.tensor(columns, dtype=torch.int64), persistent=False)

    def read(self, x: Float[Tensor, "N W"], columns: Int[Tensor, "I"]) -> Float[Tensor, "N I"]:
        """These columns of x."""
        return x.index_select(1, columns)


class Ends(nn.Module):
    """`logit_t = a_t <user, item> + b_t` for each head."""

    def __init__(self, heads: Sequence[str]) -> None:
        super().__init__()
        self.heads = checked(heads)
        self.scale = nn.Parameter(torch.full((len(self.heads),), SCALE))
        self.bias = nn.Parameter(torch.zeros(len(self.heads)))

    def forward(self, user: Float[Tensor, "B D"], item: Float[Tensor, "B D"]) -> Output:
        """Logits of every head, and the two vectors."""
        near = (user * item).sum(1)  # [B]
        logits = near[None] * self.scale[:, None] + self.bias[:, None]  # [T, B]
        return Output(by_head(self.heads, logits), {"user": user, "item": item})


def unit(vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Vectors of length 1."""
    return functional.normalize(vectors, dim=1)
