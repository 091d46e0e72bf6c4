"""Where the rows that a target scenario learned from came from, and which ending was kept."""

from collections.abc import Mapping, Sequence
from typing import Any

from polyrec.evaluation.figures.markup import Markup, join, tag
from polyrec.evaluation.figures.wording import count, finite
from polyrec.evaluation.pages.daily import accepted, daily
from polyrec.evaluation.pages.shell import Section, folded, table

ENDINGS = {
    "teacher": "the rows of all scenarios: the teacher as it is",
    "target": "the target's rows alone",
    "tuned": "the model of all scenarios, trained on with the target's rows",
    "transfer": "the target's rows with transferred ones",
    "settled": "the transfer, trained on with the target's rows alone",
}
_LEAD = (
    "From the entire space to the rows that count. Relation: the share of what the teacher explains of the target's "
    "rows that it still explains when told that they are this scenario's. Weight: the mean over its candidates. "
    "Share: of the weight of all candidates."
)


def transferred(told: Mapping[str, Any]) -> Section | None:
    """The funnel by source scenario and the endings that were tried, best first; None where nothing was."""
    sources, endings = told.get("sources") or (), told.get("endings") or ()
    if not sources and not endings and not told.get("daily"):
        return None
    parts: list[Markup | None] = [
        tag("p", f"Target: {told.get('target')}, {count(told.get('rows') or 0)} training rows.")
    ]
    if told.get("verdict"):
        parts.append(tag("p", tag("strong", f"{told['verdict']}.")))
    parts += [_graph(told), _checks(told)]
    if sources:
        head = ["Scenario", "Entire space", "After the graph", "Candidates", "Relation", "Weight", "Share"]
        parts.append(table(head, [_line(one) for one in sources], "The funnel of rows by source scenario"))
    parts += [
        _weights(told.get("weights") or {}),
        _tuned(told.get("tuned") or {}),
        _shares(told.get("distilled") or ()),
    ]
    if len(endings) > 1:
        parts.append(_endings(endings, str(told.get("kept")), told.get("margin")))
    parts += [daily(told.get("daily") or {}, str(told.get("kept"))), accepted(told.get("accepted") or {})]
    if told.get("undated"):
        parts.append(tag("p", f"Not everything is shown over time: {told['undated']}", class_="soft"))
    return Section("transfer", "Transfer", _LEAD if sources else None, join(*parts))


def _graph(told: Mapping[str, Any]) -> Markup | None:
    graph, adaptation = told.get("graph"), told.get("adaptation")
    words = []
    if graph:
        words.append(f"The graph keeps {count(graph['items'])} items and reaches {count(graph['users'])} users.")
    if adaptation:
        words.append(
            f"A classifier tells candidates from the target's rows with an AUC of {adaptation['auc']:.3f}; "
            f"weighted, they count like {count(adaptation['effective'])} rows."
        )
    return tag("p", " ".join(words)) if words else None


def _checks(told: Mapping[str, Any]) -> Markup | None:
    """What relations were asked about, and the placebo."""
    related, placebo, words = told.get("related"), told.get("placebo"), []
    if related:
        words.append(f"Relations are asked about {count(related['rows'])} target rows that the teacher did not see.")
    if placebo:
        words.append(
            f"Placebo: half of the target's users against the other half weigh {placebo['weight']:.2f} on average "
            f"(spread {placebo['spread']:.2f}, AUC {placebo['auc']:.3f}); 1 and .500 are due."
        )
    return tag("p", " ".join(words)) if words else None


def _weights(told: Mapping[str, Any]) -> Markup | None:
    counts, edges = told.get("counts") or (), told.get("edges") or ()
    if not counts:
        return None
    pairs = zip(edges[:-1], edges[1:], counts, strict=True)
    rows = [
        [f"{low:.2f} to {high:.2f}", count(number), f"{number / max(sum(counts), 1):.1%}"]
        for low, high, number in pairs
    ]
    return folded("Weights of the candidates", table(["Weight", "Candidates", "Share"], rows, "Histogram of weights"))


def _tuned(told: Mapping[str, Any]) -> Markup | None:
    tried = told.get("tried") or ()
    if not tried:
        return None
    chosen = (told.get("beta"), told.get("alpha"))
    rows = [
        [
            str(one["beta"]),
            str(one["alpha"]),
            f"{one['log_loss']:.4f}",
            "chosen" if (one["beta"], one["alpha"]) == chosen else "",
        ]
        for one in tried
    ]
    head = ["Weight of candidates (beta)", "Of distillation (alpha)", "Log-loss", ""]
    return folded("Tuned on the target's validation rows that stop", table(head, rows, "Tuning"))


def _shares(told: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not told:
        return None
    rows = [[count(one["step"]), f"{one['share']:.3f}"] for one in told]
    return folded("Mean a(x) of the distillation over time", table(["Step", "Mean a(x)"], rows, "Distillation"))


def _line(one: Mapping[str, Any]) -> list[str]:
    weight = finite(one.get("weight"))
    counts = [count(one.get(name) or 0) for name in ("entire", "graph", "candidates")]
    shown = "-" if weight is None else f"{weight:.2f}"
    return [str(one.get("scenario")), *counts, f"{one.get('relation') or 0:.2f}", shown, f"{one.get('share') or 0:.1%}"]


def _endings(endings: Sequence[Mapping[str, Any]], kept: str, margin: float | None) -> Markup:
    rows = []
    for one in sorted(endings, key=lambda one: float(one["log_loss"])):
        gain = f"{one['gain']:+.4f} ± {one['error']:.4f}".replace("-", "−")
        name = str(one["name"])
        rows.append([ENDINGS.get(name, name), f"{one['log_loss']:.4f}", gain, "kept" if name == kept else ""])
    lead = tag("h3", "Endings, on target's validation rows that neither stopped nor tuned them")
    errors = "the margin in standard errors" if margin is None else f"{margin:g} standard errors of the difference"
    words = f"The last one tried is kept unless another is better by more than {errors}."
    return join(
        lead, tag("p", words), table(["Learned from", "Log-loss", "Better than the last by", ""], rows, "Endings")
    )
