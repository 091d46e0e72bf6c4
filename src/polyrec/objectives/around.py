"""An objective around another: one more term while it trains, and the other in the bundle."""

from collections.abc import Mapping

from polyrec.batch import Output
from polyrec.objectives.objective import Objective, Predictions
from polyrec.shapes import Float, Tensor


class Around(Objective):
    """Heads, predictions and starting point of `base`, whose terms are followed by `term`.

    What it adds is trained beside the model and left behind: `served` is the base.

    Args:
        base: gives terms, heads and predictions; it alone goes into a bundle.
        term: name of the term that is added.
    """

    def __init__(self, base: Objective, term: str) -> None:
        super().__init__(base.layout)
        self.base, self.term = base, term
        self.starts = base.starts

    @property
    def start(self) -> Float[Tensor, "T"] | None:  # type: ignore[override]
        """That of the base."""
        return self.base.start

    @property
    def served(self) -> Objective:
        """The base."""
        return self.base

    @property
    def heads(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.heads

    @property
    def terms(self) -> tuple[str, ...]:
        """Those of the base, and what is added."""
        return (*self.base.terms, self.term)

    @property
    def watched(self) -> Mapping[str, Float[Tensor, ""]]:
        """What the base watches."""
        return self.base.watched

    def predict(self, output: Output) -> Predictions:
        """Those of the base."""
        return self.base.predict(output)
