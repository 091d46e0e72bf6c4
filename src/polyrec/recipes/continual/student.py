"""A period of one target scenario: the teacher goes on with every scenario's rows, then the student is taught anew."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from polyrec.batch import Batch
from polyrec.config import TransferConfig
from polyrec.data.files import Source
from polyrec.data.held import ByScenario
from polyrec.data.split import Splits
from polyrec.recipes.beside import distilled
from polyrec.recipes.continual.course import Course
from polyrec.recipes.continual.learner import Learner
from polyrec.recipes.continual.state import State
from polyrec.recipes.prepare import Prepared
from polyrec.recipes.rows import Rows
from polyrec.recipes.transferring import options_of
from polyrec.training.seed import derive
from polyrec.transfer.candidates import Found, Teacher, find, target_rows


def taught(state: State, rows: Source, course: Course) -> tuple[State, int]:
    """The state after a period: teacher, then student; and how many rows both read.

    1. Candidates: rows of other scenarios in the period, chosen and weighed as in a fit, by the teacher as it was
       before: the target's rows are then rows that it did not learn from.
    2. The teacher goes on with the rows of every scenario, its optimizer warm; one of a fixed past stays as it is.
    3. The student goes on with the target's rows and the candidates, near the hidden states of the teacher as it is
       now. beta and alpha are those of the fit; the maps between hidden states begin anew.
    """
    assert state.teacher is not None
    teacher, read = state.teacher, 0
    prepared = Prepared(state.schema, Splits(rows, rows, None), state.encoder)
    everywhere, options = Rows(state.run, prepared), options_of(state.run)

    def batches() -> Iterable[Batch]:
        return everywhere.batches(rows)

    target = target_of(state, everywhere, rows)
    seed = derive(teacher.assembly.training.seed, "candidates", course.number)
    found = find(batches, target, target, _asked(teacher), options, seed)
    if teacher.assembly.stage.data == "train":
        parts = teacher.assembly
        parts = replace(parts, stage=replace(parts.stage, training=course.training(parts.training)))
        teacher, read = course.train(teacher, everywhere.loader(parts))
    student, more = _student(state.learner, teacher, found, options, course, state.tuned)
    return replace(state, learner=student, teacher=teacher), read + more


def target_of(state: State, everywhere: Rows, rows: Source) -> Batch:
    """The target's rows of a period, held in memory."""
    name = options_of(state.run).target
    return target_rows(lambda: everywhere.batches(rows), state.encoder.layout.scenarios.index(name), name)


def _student(
    student: Learner, teacher: Learner, found: Found, options: TransferConfig, course: Course, tuned: Any
) -> tuple[Learner, int]:
    training = course.training(student.assembly.training)
    loader = ByScenario(found.together(tuned["beta"]), batch_size=training.batch_size, seed=training.seed)
    if tuned["alpha"] == 0:
        return course.train(student, loader)
    stage = replace(student.assembly.stage, training=training)
    assembly = replace(student.assembly, stage=stage)
    objective, balancer = distilled(assembly, teacher.assembly, found.target, options, tuned["alpha"])
    learner, read = course.train(student.around(), loader, objective, balancer)
    return learner.alone(), read


def _asked(teacher: Learner) -> Teacher:
    return Teacher(teacher.assembly.model.eval(), teacher.assembly.objective)
