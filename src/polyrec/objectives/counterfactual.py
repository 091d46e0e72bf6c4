"""Conversion learned on clicked rows and weighed so that it speaks for all: ESCM² and DCMT."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch.nn import functional

from polyrec.batch import Batch, Layout, Output
from polyrec.declare import STRICT
from polyrec.objectives.cells import binary_term
from polyrec.objectives.logspace import LogProbability
from polyrec.objectives.objective import Objective, Predictions, Terms, register
from polyrec.schema import Target, Task, funnel
from polyrec.shapes import Bool, Float, Tensor

Weight = Annotated[float, Ge(0.0)]
Propensity = Annotated[float, Gt(0.0), Lt(1.0)]


@dataclass(frozen=True, slots=True)
class CounterfactualConfig:
    """What weighs how much, and how far a propensity may fall."""

    __pydantic_config__ = STRICT
    least: Propensity = 0.02  # propensities are clipped from below: the largest weight is 1 / least
    parent: Weight = 1.0  # of a task without a parent
    conversion: Weight = 1.0  # of the counterfactual risk
    whole: Weight = 1.0  # of the parent times the task over all impressions


@dataclass(frozen=True, slots=True)
class EscmConfig(CounterfactualConfig):
    """Options of `escm2`."""

    risk: Literal["ipw", "dr"] = "ipw"


@dataclass(frozen=True, slots=True)
class DcmtConfig(CounterfactualConfig):
    """Options of `dcmt`."""

    agreement: Weight = 0.001  # of |1 - (factual + counterfactual)|


class Counterfactual(Objective):
    """What ESCM² and DCMT have in common: chains in log space and stopped, clipped propensities.

    The propensity of a row for task t is the model's own p(c | all impressions) of the parent c, with no
    gradient. Every factor lies in log space until it is a weight.
    """

    def __init__(self, layout: Layout, config: CounterfactualConfig) -> None:
        super().__init__(layout)
        self.config = config
        self.ordered = tuple(sorted(layout.tasks, key=lambda task: len(funnel(layout.tasks, task.name))))

    def extra_heads(self, task: Task) -> tuple[str, ...]:
        """Heads of a task with a parent, beside its own."""
        raise NotImplementedError(f"{type(self).__name__} must name its extra heads")

    def risk(
        self, task: Task, output: Output, batch: Batch, propensity: Float[Tensor, "B"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Terms that make the head of `task` speak for all impressions."""
        raise NotImplementedError(f"{type(self).__name__} must give its risk")

    @property
    def heads(self) -> tuple[str, ...]:
        """Each task's, and what its counterfactual risk needs."""
        return tuple(
            head
            for task in self.layout.tasks
            for head in (task.name, *(self.extra_heads(task) if task.after is not None else ()))
        )

    def risk_terms(self, task: Task) -> tuple[str, ...]:
        """Names of the terms of `risk`."""
        raise NotImplementedError(f"{type(self).__name__} must name its risk's terms")

    @property
    def terms(self) -> tuple[str, ...]:
        """A root's own; for the others the counterfactual risk and the chain over all impressions."""
        names: list[str] = []
        for task in self.ordered:
            if task.after is None:
                names.append(task.name)
                continue
            names += self.risk_terms(task)
            names += [f"{task.after}*{task.name}"] if self.config.whole > 0 else []
        return tuple(names)

    def forward(self, output: Output, batch: Batch) -> Terms:
        """The parents' cross-entropy, each child's counterfactual risk, and its chain over all impressions."""
        output = self.started(output)
        whole = self._whole(output)
        terms = {}
        for task in self.ordered:
            label, observed = batch.target(Target(task.name))
            if task.after is None:
                one = binary_term(output.logits[task.name], label, observed, batch.weight)
                terms[task.name] = self.config.parent * one
                continue
            propensity = whole[task.after].yes.exp().detach().clamp_min(self.config.least)
            for name, term in self.risk(task, output, batch, propensity).items():
                terms[name] = self.config.conversion * term
            if self.config.whole > 0:
                label, observed = batch.through(task.name)
                one = binary_term(whole[task.name].logit, label, observed, batch.weight)
                terms[f"{task.after}*{task.name}"] = self.config.whole * one
        return terms

    def predict(self, output: Output) -> Predictions:
        """A task given its parent by its head, over all impressions by the chain."""
        output = self.started(output)
        whole = self._whole(output)
        return {
            target: output.logits[target.task]
            if target.space == self.layout.tasks[self.layout.task_index(target.task)].after
            else whole[target.task].logit
            for target in self.layout.targets
        }

    def split(self, task: Task, batch: Batch) -> tuple[Float[Tensor, "B"], Bool[Tensor, "B"], Bool[Tensor, "B"]]:
        """The labels of a task; rows on which its parent happened by way of the funnel; those on which it did not."""
        assert task.after is not None
        label, inside = batch.target(Target(task.name, task.after))
        parent, known = batch.through(task.after)
        return label, inside & known & (parent > 0.5), known & (parent < 0.5)

    def _whole(self, output: Output) -> dict[str, LogProbability]:
        found: dict[str, LogProbability] = {}
        for task in self.ordered:
            one = LogProbability.of(output.logits[task.name])
            found[task.name] = found[task.after].then(one) if task.after is not None else one
        return found


@register("escm2", EscmConfig)
class Escm2(Counterfactual):
    """Entire-space counterfactual multi-task modelling.

    Formula:
        with o = 1 where the parent happened and the label is known, d the cross-entropy of the head, p the
        propensity, and e the imputed error (softplus of its head):
            ipw  sum_b w o d / p / sum_b w
            dr   sum_b w (e + o (d - e) / p) / sum_b w, and for e alone  sum_b w o (d - e)^2 / p / sum_b w
        beside BCE of the parent and BCE of the chain over all impressions.

    Needs:
        A task with a parent. Conversions without their parent are outside what it explains.

    Relations:
        p = 1 and `ipw` is Pointwise with `normalise = "batch"` plus ESMM's term.

    Source: Wang et al. 2022, "ESCM²: Entire Space Counterfactual Multi-Task Model for Post-Click Conversion Rate
    Estimation".
    """

    config: EscmConfig

    def __init__(self, layout: Layout, config: EscmConfig) -> None:
        super().__init__(layout, config)

    def extra_heads(self, task: Task) -> tuple[str, ...]:
        """The imputed error, for `dr`."""
        return (f"{task.name}|error",) if self.config.risk == "dr" else ()

    def risk_terms(self, task: Task) -> tuple[str, ...]:
        """The risk, and for `dr` what its imputation learns from."""
        return (task.name, *self.extra_heads(task))

    def risk(
        self, task: Task, output: Output, batch: Batch, propensity: Float[Tensor, "B"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Inverse-propensity or doubly robust."""
        assert task.after is not None
        label, clicked, _ = self.split(task, batch)
        error = functional.binary_cross_entropy_with_logits(output.logits[task.name], label, reduction="none")
        share = clicked * batch.weight / propensity
        total = batch.weight.sum().clamp_min(torch.finfo(torch.float32).tiny)
        if self.config.risk == "ipw":
            return {task.name: (share * error).sum() / total}
        imputed = functional.softplus(output.logits[f"{task.name}|error"])
        robust = (batch.weight * imputed + share * (error - imputed)).sum() / total
        fitted = (share * (error.detach() - imputed).square()).sum() / total
        return {task.name: robust, f"{task.name}|error": fitted}


@register("dcmt", DcmtConfig)
class Dcmt(Counterfactual):
    """Direct counterfactual learning: a second tower answers for the rows on which the parent did not happen.

    Formula:
        r = sigmoid of the task's head, q = sigmoid of its counterfactual twin, p the propensity, o the click:
            factual         sum o BCE(r, label) / p / sum o / p                 (self-normalised)
            counterfactual  sum (1 - o) BCE(q, 1) / (1 - p) / sum (1 - o) / (1 - p)
            agreement       mean |1 - (r + q)|
        The counterfactual label of a row without a click is one minus its label, that is 1.

    Source: Zhu et al. 2023, "DCMT: A Direct Entire-Space Causal Multi-Task Framework for Post-Click Conversion
    Estimation".
    """

    config: DcmtConfig

    def __init__(self, layout: Layout, config: DcmtConfig) -> None:
        super().__init__(layout, config)

    def extra_heads(self, task: Task) -> tuple[str, ...]:
        """The counterfactual twin."""
        return (f"{task.name}|counterfactual",)

    def risk_terms(self, task: Task) -> tuple[str, ...]:
        """Both worlds, and their agreement."""
        return (task.name, f"{task.name}|counterfactual", f"{task.name}|agreement")

    def risk(
        self, task: Task, output: Output, batch: Batch, propensity: Float[Tensor, "B"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Both worlds, and their agreement."""
        assert task.after is not None
        label, clicked, past = self.split(task, batch)
        factual = output.logits[task.name]
        twin = output.logits[f"{task.name}|counterfactual"]
        complement = (1 - propensity).clamp_min(self.config.least)
        agreement = (1 - torch.sigmoid(factual) - torch.sigmoid(twin)).abs()
        total = batch.weight.sum().clamp_min(torch.finfo(torch.float32).tiny)
        return {
            task.name: binary_term(factual, label, clicked, batch.weight / propensity),
            f"{task.name}|counterfactual": binary_term(twin, torch.ones_like(twin), past, batch.weight / complement),
            f"{task.name}|agreement": self.config.agreement * (batch.weight * agreement).sum() / total,
        }
