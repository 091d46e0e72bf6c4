"""Attention among the features of a row, whose queries and keys the row's scenario changes."""

import torch
from torch import nn

from polyrec.errors import ConfigError
from polyrec.nn.hyper import MetaLinear
from polyrec.shapes import Float, Tensor


class AdaptiveAttention(nn.Module):
    """Self-attention over F vectors of a row, with queries and keys made by weights that another vector makes.

    Formula, for heads h over D / heads numbers each, and e of the row:
        M(q) = LN(q + relu(q W1(e)) W2(e)),  W1, W2 affine in e         one M for queries and keys
        a_h  = softmax over j of (M(y_i Q) . M(y_j K)) / sqrt(D / heads)
        y'_i = LN(y_i + [sum_j a_hij (y_j V)_h] O)

    Source: Min et al. 2023, "Scenario-Adaptive Feature Interaction for Click-Through Rate Prediction" (SATrans with
    MetaNet on queries and keys).

    Raises:
        ConfigError: D is not a multiple of heads.

    Example:
        >>> AdaptiveAttention(8, 3, heads=2, hidden=6)(torch.rand(5, 4, 8), torch.rand(5, 3)).shape
        torch.Size([5, 4, 8])
    """

    def __init__(self, dim: int, made_from: int, *, heads: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % heads:
            raise ConfigError(
                f"dim = {dim} is not a multiple of attention_heads = {heads}. Choose one that divides it."
            )
        self.heads, self.dim = heads, dim
        self.projections = nn.Linear(dim, 3 * dim, bias=False)  # Q, K, V side by side
        self.up, self.down = MetaLinear(dim, hidden, made_from), MetaLinear(hidden, dim, made_from)
        self.meta_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, y: Float[Tensor, "B F D"], made: Float[Tensor, "B V"]) -> Float[Tensor, "B F D"]:
        """The vectors of each row after they looked at one another."""
        query, key, value = self.projections(y).chunk(3, -1)
        query, key, value = (self._split(one) for one in (self._adapted(query, made), self._adapted(key, made), value))
        share = torch.softmax(query @ key.transpose(2, 3) * (self.dim // self.heads) ** -0.5, -1)  # [B, h, F, F]
        found = (self.dropout(share) @ value).transpose(1, 2).flatten(2)  # [B, F, D]
        after: Tensor = self.norm(y + self.dropout(self.out(found)))
        return after

    def _adapted(self, q: Float[Tensor, "B F D"], made: Float[Tensor, "B V"]) -> Float[Tensor, "B F D"]:
        adapted: Tensor = self.meta_norm(q + self.dropout(self.down(torch.relu(self.up(q, made)), made)))
        return adapted

    def _split(self, x: Float[Tensor, "B F D"]) -> Float[Tensor, "B _ F _"]:
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2)
