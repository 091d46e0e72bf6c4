"""What is trained, in which order: a list of stages."""

from dataclasses import dataclass

from torch import nn

from polyrec.config import TrainingConfig
from polyrec.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Stage:
    """One training run over one slice of rows: a budget, and which of the model's parameters it may move.

    `trainable`: beginnings of parameter names; empty means all of them. A stage starts from where the one
    before it ended.
    """

    name: str
    training: TrainingConfig
    trainable: tuple[str, ...] = ()

    def freeze(self, model: nn.Module) -> None:
        """Let exactly this stage's parameters move.

        Raises:
            ConfigError: a beginning that no parameter has.
        """
        names = [name for name, _ in model.named_parameters()]
        for start in self.trainable:
            if not any(name.startswith(start) for name in names):
                raise ConfigError(
                    f"stage {self.name!r} trains {start!r}, and no parameter begins so. "
                    f"Known: {', '.join(sorted({name.split('.')[0] for name in names}))}."
                )
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not self.trainable or name.startswith(self.trainable))


Plan = tuple[Stage, ...]
