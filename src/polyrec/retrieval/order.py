"""The largest of some scores, in an order that is the same however the scores came together."""

from polyrec.shapes import Float, Int, Tensor


def largest(scores: Float[Tensor, "B J"], k: int) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    """The k largest of each row and where they stand; of equal ones those that stand first, in that order.

    So a row that is cut into parts, of each of which the k largest are kept in their order, has the k largest that it
    has whole.

    Example:
        >>> import torch
        >>> best, at = largest(torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0, 2.0]]), k=4)
        >>> best.tolist(), at.tolist()
        ([[3.0, 3.0, 2.0, 2.0]], [[1, 3, 2, 4]])
    """
    best, at = scores.topk(k, 1)
    least = best[:, -1:]
    tied = ((scores >= least).sum(1) > k) & ~least[:, 0].isneginf()  # topk has taken any of the equal ones
    if bool(tied.any()):
        at[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    at = at.sort(1).values
    best, order = scores.gather(1, at).sort(dim=1, descending=True, stable=True)
    return best, at.gather(1, order)
