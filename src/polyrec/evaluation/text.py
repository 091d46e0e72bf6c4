"""Tables for a terminal: plain text, columns aligned."""

from collections.abc import Sequence


def aligned(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A header, a rule and lines; the first column and those without a name to the left, the others to the right.

    Example:
        >>> print(aligned(["scenario", "auc"], [["home", "0.71"], ["search", "-"]]))
        scenario   auc
        --------------
        home      0.71
        search       -
        >>> print(aligned(["cell", "auc", ""], [["home", "0.71", "gained"], ["all", "0.7", "cannot be told"]]))
        cell   auc
        ----------
        home  0.71  gained
        all    0.7  cannot be told
    """
    widths = [max(len(line[place]) for line in [header, *lines]) for place in range(len(header))]

    def one(line: Sequence[str]) -> str:
        cells = zip(line, header, widths, strict=True)
        words = [
            text.rjust(wide) if name and place else text.ljust(wide) for place, (text, name, wide) in enumerate(cells)
        ]
        return "  ".join(words).rstrip()

    return "\n".join([one(header), "-" * len(one(header)), *map(one, lines)])


def signed(value: float | None) -> str:
    """A difference with its sign; zero, from whichever side, is +0.0000.

    Example:
        >>> signed(0.0123), signed(-0.5), signed(-0.00001), signed(None)
        ('+0.0123', '-0.5000', '+0.0000', '-')
    """
    return "-" if value is None else f"{round(value, 4) + 0.0:+.4f}"


def number(metric: str, value: float | None) -> str:
    """A metric's value with the digits that matter; `-` where it is undefined.

    Example:
        >>> number("auc", 0.71234), number("ece", 0.000123), number("pcoc", None)
        ('0.7123', '0.0001', '-')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if metric == "pcoc" else f"{value:.4f}"
