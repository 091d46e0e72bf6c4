"""The guard: of several endings of a run, which is kept, judged on rows that stopped and tuned none of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from polyrec.batch import Batch
from polyrec.objectives.distill import row_losses
from polyrec.shapes import Float
from polyrec.training.run import Result
from polyrec.transfer.asked import asked
from polyrec.transfer.relation import gap

CAREFUL = ("teacher", "target", "tuned")  # endings without transferred rows
WORDS = {
    "teacher": "the teacher as it is, the model of all scenarios, is kept",
    "target": "the target's rows alone are kept",
    "tuned": "the teacher, trained on with the target's rows alone, is kept",
    "transfer": "the target's rows with transferred ones are kept",
    "settled": "the transfer, trained on with the target's rows, is kept",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """One way for a run to end: its mean log-loss over the judging rows, tasks summed, and the gain over the last."""

    name: str
    log_loss: float
    gain: float
    error: float  # standard error of the gain


def endings(results: Mapping[str, Result], names: Sequence[str], rows: Batch) -> tuple[Ending, ...]:
    """How each of the named stages does on rows that neither stopped nor tuned it."""
    losses = {name: losses_of(results[name], rows) for name in names}
    found = []
    for name in names:
        gain, error = gap(losses[names[-1]] - losses[name], rows.user.numpy())
        found.append(Ending(name, round(float(losses[name].mean()), 6), round(gain, 6), round(error, 6)))
    return tuple(found)


def kept(found: Sequence[Ending], margin: float) -> str:
    """The last ending, unless another is better by more than `margin` standard errors: the best of those.

    Example:
        >>> endings = (Ending("target", 0.50, 0.02, 0.01), Ending("settled", 0.52, 0.0, 0.0))
        >>> kept(endings, 1.0), kept(endings, 3.0)
        ('target', 'settled')
    """
    better = [one for one in found[:-1] if one.gain > margin * one.error]
    return max(better, key=lambda one: one.gain).name if better else found[-1].name


def verdict(found: Sequence[Ending], name: str, rows: int) -> str:
    """In words, what was kept and why.

    Example:
        >>> found = (Ending("target", 0.50, 0.02, 0.01), Ending("settled", 0.52, 0.0, 0.0))
        >>> verdict(found, "target", 400)
        "Transfer does not help: the target's rows alone are kept (log-loss 0.5000 against 0.5200 on 400 held-out rows)"
    """
    one, last = next(one for one in found if one.name == name), found[-1]
    what = WORDS.get(name, f"{name} is kept")
    if name in CAREFUL:
        told = f"log-loss {one.log_loss:.4f} against {last.log_loss:.4f} on {rows:,} held-out rows"
        return f"Transfer does not help: {what} ({told})"
    careful = max((one for one in found if one.name in CAREFUL), key=lambda one: one.gain, default=one)
    if careful.log_loss < one.log_loss:
        told = f"{careful.name!r} has {careful.log_loss:.4f}: within what {rows:,} held-out rows can tell"
        return f"No harm of transfer is visible: {what} (log-loss {one.log_loss:.4f}; {told})"
    told = f"log-loss {one.log_loss:.4f} against {careful.log_loss:.4f} without it, on {rows:,} held-out rows"
    return f"Transfer helps: {what} ({told})"


@torch.no_grad()
def losses_of(result: Result, rows: Batch) -> Float[np.ndarray, "B"]:
    """Each row's log-loss under a stage's model, tasks summed."""
    model, objective = result.parts.model.eval(), result.parts.objective.served
    parts = [row_losses(objective.predict(output), batch) for output, batch in asked(model, rows)]
    return np.asarray(torch.cat(parts).cpu().double().numpy())
