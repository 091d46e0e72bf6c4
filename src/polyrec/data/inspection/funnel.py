"""What is wrong with labels among themselves: values, children without parents, outcomes that no task names."""

from collections.abc import Iterator, Mapping, Sequence

from polyrec.data.inspection import names
from polyrec.data.inspection.findings import Finding, Severity, share
from polyrec.data.inspection.labels import Counts
from polyrec.data.inspection.statistics import Column
from polyrec.schema import Task


def find_orphans(tasks: Sequence[Task], counts: Counts) -> Iterator[Finding]:
    """Children that happen without their parent: impossible where strict, counted where not."""
    by_name = {task.name: task for task in tasks}
    for task in tasks:
        if task.after is None:
            continue
        parent = by_name[task.after].label
        orphans, positives = counts.without[task.label, parent], counts.positives[task.label]
        if not orphans:
            continue
        part = f"{orphans:,} of {positives:,} rows with {task.label} = 1 ({share(orphans / positives)}) have"
        if task.strict:
            said = (
                f"{part} {parent} = 0, and task {task.name!r} comes strictly after {task.after!r}. Mend the log, or "
                "set strict = false if it may happen without it."
            )
            yield Finding("orphans", "error", (task.label, parent), said, float(orphans))
        else:
            said = f"{part} {parent} = 0: task {task.name!r} may happen without {task.after!r} (strict = false)."
            yield Finding("orphans", "info", (task.label, parent), said, float(orphans))


def find_label_values(columns: Sequence[Column], tasks: Sequence[Task]) -> Iterator[Finding]:
    """Labels that hold more than 0, 1 and null, declared ones and those that a name gives away."""
    labels = {task.label for task in tasks}
    for column in columns:
        if column.binary or column.nulls == column.rows:
            continue
        seen = f"{column.low} to {column.high}" if column.low is not None else f"type {column.type}"
        if column.name in labels:
            said = f"{column.name} is the label of a task and holds {seen}; a label is 0, 1 or null. Make it binary."
            yield Finding("label_values", "error", (column.name,), said)
        elif _named_label(column):
            said = (
                f"{column.name} is named like a label and holds {seen}, so it is not taken as one, nor as a feature. "
                f"Make a 0/1 column of it, for example {column.name} > 0."
            )
            yield Finding("label_values", "warning", (column.name,), said)


def _named_label(column: Column) -> bool:
    spelled = [word for word in names.words(column.name) if word != "is"]
    whole = column.is_number and column.whole and (column.distinct or 0) <= 10
    return whole and len(spelled) == 1 and names.outcome_like(column.name)


def named_labels(columns: Sequence[Column]) -> dict[str, str]:
    """Columns that are named like labels but are not 0/1, with why they are left out."""
    return {
        column.name: "named like a label, but not 0/1"
        for column in columns
        if not column.binary and _named_label(column)
    }


def find_outcomes(outcomes: Mapping[str, str]) -> Iterator[Finding]:
    """Columns left out of the features because they look like outcomes themselves."""
    for name, reason in outcomes.items():
        severity: Severity = "warning" if reason.startswith("stands among") else "info"
        said = f"{name} is left out: it {reason}."
        if severity == "warning":
            said += " Declare it as a task, or as a feature if it is known when the row is shown."
        yield Finding("other_outcome", severity, (name,), said)


def find_implying(features: Sequence[str], tasks: Sequence[Task], counts: Counts) -> Iterator[Finding]:
    """0/1 features that are 1 only where a label is: outcomes themselves, however seldom they happen."""
    for name in features:
        label = next((one.label for one in tasks if name in counts.positives and counts.implies(name, one.label)), None)
        if label is not None:
            said = (
                f"{name} looks known only after {label}: it is 1 in {counts.positives[name]:,} rows, every one of them "
                f"with {label} = 1. Leave it out unless you are sure that it is known when the row is shown."
            )
            yield Finding("after_outcome", "warning", (name, label), said, 1.0)


def undeclared_outcomes(
    columns: Sequence[Column], features: Sequence[str], tasks: Sequence[Task], counts: Counts
) -> dict[str, str]:
    """0/1 columns that a schema leaves out and that happen only with one of its labels."""
    labels = [task.label for task in tasks]
    found = {}
    for column in columns:
        if column.name in labels or column.name in features or column.name not in counts.positives:
            continue
        parent = next((label for label in labels if counts.implies(column.name, label)), None)
        if parent is not None:
            rows = counts.positives[column.name]
            found[column.name] = f"happens only where {parent} = 1 ({rows:,} rows): an outcome, not a feature"
    return found
