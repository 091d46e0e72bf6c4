"""What an inspection has to say about a log: one finding a fact, with its remedy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}

# Kinds that say a column may know the answer: an inferred schema leaves these columns out.
LEAKS = ("label_copy", "after_outcome", "outcome_among_twins", "whole_period")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about named columns, with the value seen and what to do about it.

    `error`: training on it would give wrong numbers. `warning`: a person should decide. `info`: good to know.

    Example:
        >>> Finding("constant", "warning", ("country",), "country is 'PRT' in every row. Leave it out.").columns
        ('country',)
    """

    kind: str
    severity: Severity
    columns: tuple[str, ...]
    message: str
    value: float | None = None  # the number behind it: an AUC, a share, a count

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "columns": list(self.columns),
            "message": self.message,
            "value": self.value,
        }


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then what is good to know; the order within each stays."""
    return tuple(sorted(findings, key=lambda finding: ORDER[finding.severity]))


def share(value: float) -> str:
    """A share in words that never round something to nothing.

    Example:
        >>> share(0.9936), share(0.00004), share(0.0), share(1.0), share(0.99999)
        ('99.4 %', 'under 0.1 %', '0 %', '100 %', 'over 99.9 %')
    """
    if value in (0.0, 1.0):
        return f"{value * 100:.0f} %"
    if value < 0.001:
        return "under 0.1 %"
    if value > 0.999:
        return "over 99.9 %"
    return f"{value * 100:.1f} %"
