"""Entire-space continual and adaptive transfer (ECAT; Hou et al., SIGIR 2024) for one scenario with few rows.

Stage 1, teacher: one model on every scenario. Then for the target: rows of other scenarios chosen by a graph of users
and items, weighed by a domain classifier and by how far their scenario's preferences hold in the target; a student
that learns from them and the target's own rows, held near the teacher's hidden states where the teacher is right.
The formulas are this project's reconstruction; `ecat-paper` keeps to them. `ecat` adds the relation of scenarios,
starts the student at the teacher, and has five endings: the teacher as it is, the target's rows alone, the teacher
tuned on them, the transfer, and the transfer tuned on them; the last is kept unless the target's validation rows speak
for another. Of the model it leaves, the target's scores alone mean something, unless the teacher is kept.
"""

from dataclasses import replace
from typing import Any

from polyrec.recipes.recipe import Recipe, StageOptions, add
from polyrec.training.plan import Carry

SMALL: dict[str, Any] = {"batch_size": 256, "epochs": 20, "evaluations": 1, "patience": 3, "metric": "log_loss"}
TUNING = {**SMALL, "table_lr": 1e-3}  # tables know every scenario's rows already
TEACHER = StageOptions("teacher")
TARGET = StageOptions("target", SMALL, data="target", candidate=True)
TUNED = StageOptions("tuned", TUNING, data="target", start="teacher", candidate=True)
MIXED = {**TUNING, "batch_size": 1024, "epochs": 8}
TRANSFER = StageOptions("transfer", MIXED, data="transfer", start="teacher", candidate=True)
SETTLED = StageOptions("settled", TUNING, data="target", start="transfer", candidate=True)
RECIPE = add(
    Recipe(
        name="ecat",
        family="seed",
        paper="Hou et al., SIGIR 2024",
        summary="for one scenario: related rows of the others, a distilling teacher, and a guard",
        needs="[transfer] target, keys of users and items",
        model="pooled",
        stages=(replace(TEACHER, candidate=True), TARGET, TUNED, TRANSFER, SETTLED),
        transfer_options={"beta": (1.0, 0.3, 3.0), "alpha": (0.1, 0.0, 1.0)},
    )
)
ALONE = replace(TRANSFER, candidate=False)


def _without(name: str, summary: str, **options: Any) -> Recipe:
    """The transfer without guard and without a part, so that what the part is worth can be seen."""
    return add(
        replace(
            RECIPE,
            name=name,
            summary=summary,
            stages=(TEACHER, ALONE, replace(SETTLED, candidate=False)),
            transfer_options={**(RECIPE.transfer_options or {}), **options},
        )
    )


NO_GUARD = _without("ecat-no-guard", "ecat's transfer, whatever validation says")
NO_GRAPH = _without("ecat-no-graph", "ecat-no-guard with candidates drawn from all rows", graph=False)
NO_ADAPTATION = _without(
    "ecat-no-adaptation", "ecat-no-guard with candidates that weigh alike", adaptation=False, relation=False
)
NO_RELATION = _without("ecat-no-relation", "ecat-no-guard with every other scenario's rows", relation=False)
NO_DISTILLATION = _without("ecat-no-distillation", "ecat-no-guard without a teacher's hidden states", alpha=0.0)
UNIFORM = _without(
    "ecat-uniform-distillation", "ecat-no-guard with the teacher right or wrong everywhere alike", adaptive=False
)
STATIC = add(
    replace(
        NO_GUARD,
        name="ecat-static-teacher",
        summary="ecat-no-guard with a teacher of the first half of the training time alone",
        stages=(replace(TEACHER, data="past"), *NO_GUARD.stages[1:]),
    )
)
ALL_SOURCE = _without(
    "ecat-all-source",
    "every other scenario's rows at weight one: what transfer must not be",
    graph=False,
    adaptation=False,
    relation=False,
    alpha=0.0,
    ratio=1e9,
    beta="rows",
)
PAPER = add(
    replace(
        RECIPE,
        name="ecat-paper",
        summary="the letter of our reconstruction: a student from scratch, no relation of scenarios, no guard",
        stages=(TEACHER, StageOptions("transfer", {**SMALL, "batch_size": 1024}, data="transfer")),
        transfer_options={"relation": False, "alpha": 1.0},
    )
)
TARGET_ONLY = add(
    replace(
        RECIPE,
        name="target_only",
        paper="no paper: the usual practice",
        family="sharing",
        summary="one network that learns from the target scenario's rows and no others",
        needs="[transfer] target",
        stages=(replace(TARGET, candidate=False),),
    )
)
FINE_TUNED = add(
    replace(
        RECIPE,
        name="finetuned",
        paper="no paper: the usual practice",
        family="sharing",
        summary="one network for all rows, then trained on with the target scenario's",
        needs="[transfer] target",
        stages=(TEACHER, replace(TUNED, candidate=False)),
    )
)
PLAIN = {"source": False}
CTNET = add(
    replace(
        RECIPE,
        name="ctnet",
        paper="Liu et al., arXiv 2208.05728",
        family="sharing",
        summary="the target's network, fed by a frozen network of all scenarios through gated adapters",
        needs="[transfer] target",
        model="ctnet",
        stages=(
            replace(TEACHER, model_options=PLAIN),
            replace(TARGET, candidate=False, model_options=PLAIN),
            StageOptions(
                "adapted",
                SMALL,
                data="target",
                trainable=("inputs.*", "bottom.*", "towers.*", "adapters.*"),
                carry=(
                    Carry("target"),
                    Carry("teacher", of="inputs.", to="source.inputs."),
                    Carry("teacher", of="bottom.", to="source.bottom."),
                ),
            ),
        ),
        transfer_options={},
    )
)
DANN = add(
    replace(
        RECIPE,
        name="dann",
        paper="Ganin et al., JMLR 2016",
        family="sharing",
        summary="the model of all scenarios, trained on with an adversary that looks for the target's rows",
        needs="[transfer] target",
        stages=(TEACHER, StageOptions("aligned", MIXED, data="adversarial", start="teacher")),
        transfer_options={"graph": False, "adaptation": False, "relation": False},
    )
)
