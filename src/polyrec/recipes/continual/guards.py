"""What may be wrong with a period, found by comparing its profile with those of the periods before."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np

from polyrec.data.files import Source
from polyrec.data.moments import shown
from polyrec.data.profile import Profile
from polyrec.data.tally import EDGES, SINGLE
from polyrec.recipes.continual.trend import Counts, ahead, in_order, stability
from polyrec.schema import Schema

RATE = log(2.0)  # of the odds of a label: twice or half what they were
SURE = 3.3  # standard errors beyond which a difference is no chance (two-sided, 1 in 1,000)
SHIFT = 0.25  # of the population stability index: the usual bound of a major shift
LATE = 0.01  # share of late rows that is taken without a word
AGAIN = 0.05  # share of rows that an earlier period had
SIDE = 1.64  # standard errors of that share's lower bound (one-sided, 1 in 20)
SINCE = 1e8  # numbers of at least this are moments since 1970, in seconds or less
OTHER = 100  # times as large or small as before: no moment of the same unit
RECENT = 8  # periods that a feature is compared with
NEWEST = 2  # stretches of the fit that a period may be like
UNKNOWN = 0.3  # share of a feature's values by which more may be unknown than ever before
FALL = 0.1  # of the pooled AUC


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its kind, what it is about, and a sentence. `fatal`: such rows cannot be trained on."""

    kind: str  # columns, empty, time, labels, shift, duplicate, late, quality
    about: str
    words: str
    fatal: bool = False


def inspect(
    profile: Profile,
    before: Sequence[tuple[str, Profile]],
    *,
    until: str | None = None,
    auc: Mapping[str, tuple[float, float]] | None = None,
    known: Mapping[str, Sequence[float]] | None = None,
    scenarios: Collection[str] = (),
    stretches: Sequence[Profile] = (),
) -> list[Finding]:
    """Everything that is wrong with a period.

    Args:
        profile: of the period.
        before: names and profiles of earlier periods, the first of them the rows of the fit.
        until: the last moment that has been trained on, in words.
        auc: of the model that stands on this period, with its upper bound, by target.
        known: the same model line's AUC on the periods before, by target.
        scenarios: that the model knows, whether or not an earlier period had rows of them.
        stretches: of the fit's rows, oldest first.
    """
    unit = _unit(profile, [one for _, one in before])
    found = [*_scenarios(profile, before, scenarios), *_duplicate(profile, before), *(unit or _late(profile, until))]
    found += _labels(profile, [one for _, one in before])
    found += _shifted(profile, [one for _, one in before], stretches)
    found += _strange(profile, [one for _, one in before])
    found += _missing(profile, [one for _, one in before])
    for name, (value, high) in (auc or {}).items():
        past = (known or {}).get(name) or ()
        if past and high < float(np.median(past)) - FALL:
            words = f"the AUC of {name} is {value:.3f} (at most {high:.3f}); before it was {np.median(past):.3f}"
            found.append(Finding("quality", name, f"{words}. Its labels or features mean something else"))
    return found


def stray(profile: Profile, source: Source, schema: Schema) -> list[str]:
    """In words, that a few rows have a time far behind all others, which is taken for no bound of late ones."""
    column = schema.keys.time
    if column is None or profile.time is None or not profile.strays():
        return []
    last, until = (shown(one, source.columns()[column]) for one in (profile.time[1], profile.until))
    return [f"the last {column} is {last}, but 99 of 100 rows lie no later than {until}: rows are late before that one"]


def _scenarios(profile: Profile, before: Sequence[tuple[str, Profile]], known: Collection[str]) -> list[Finding]:
    """Rows of no scenario, or of one that is called by nothing but spaces and has not been there before."""
    lost = {"null": profile.rows - sum(profile.scenarios.values())}
    past = {*known, *(name for _, one in before for name in one.scenarios)}
    lost |= {repr(name): rows for name, rows in profile.scenarios.items() if not name.strip() and name not in past}
    return [
        Finding("columns", "scenario", f"the scenario is {name} in {rows:,} of {profile.rows:,} rows", fatal=True)
        for name, rows in lost.items()
        if rows
    ]


def _duplicate(profile: Profile, before: Sequence[tuple[str, Profile]]) -> list[Finding]:
    for name, one in before:
        if (one.digest, one.rows) == (profile.digest, profile.rows):
            words = f"its {profile.rows:,} rows are those of {name}, whatever their order and labels"
            return [Finding("duplicate", name, words)]
    if profile.time is None:  # without a time, equal rows may well be two
        return []
    found = (0.0, 0, 0, "")
    for name, one in before:
        common, seen = profile.common(one)
        found = max(found, (_least(common, seen), common, seen, name))
    least, common, seen, name = found
    if least <= AGAIN:
        return []
    counted = f"{common:,} of {seen:,} compared; bound {AGAIN:.0%}"
    return [Finding("duplicate", name, f"about {common / seen:.0%} of its rows are in {name} too ({counted})")]


def _least(common: int, seen: int) -> float:
    """The lower bound of a share of which few are known (Wilson, JASA 1927)."""
    if not common:
        return 0.0
    share, z = common / seen, SIDE**2 / seen
    return (share + z / 2 - sqrt(z * (share * (1 - share) + z / 4))) / (1 + z)


def _unit(profile: Profile, before: Sequence[Profile]) -> list[Finding]:
    """Whether times are seconds now and were milliseconds, or so."""
    past = [one.until for one in before if isinstance(one.until, int | float)]
    if profile.usual is None or isinstance(profile.usual[0], str) or not past:
        return []
    now, was = abs(float(profile.usual[0])), abs(float(max(past)))
    if max(now, was) < SINCE or 1 / OTHER < (now or 1) / (was or 1) < OTHER:
        return []
    words = f"its times are about {now:.3g} and were about {was:.3g}: another unit. Give them in the one of before"
    return [Finding("time", "time", words, fatal=True)]


def _late(profile: Profile, until: str | None) -> list[Finding]:
    share = profile.late / max(profile.rows, 1)
    words = f"{profile.late:,} of {profile.rows:,} rows ({share:.0%}) lie before {until}, up to which has been trained"
    return [Finding("late", "time", f"{words} (bound {LATE:.0%})")] if share > LATE else []


def _labels(profile: Profile, before: Sequence[Profile]) -> list[Finding]:
    found = []
    for task, cells in profile.labels.items():
        for name, cell in cells.items():
            past = [one.labels[task][name] for one in before if name in one.labels.get(task, {})]
            words = _label(cell, [one for one in past if one[1]])
            if words is not None:
                where = f"label of {task}" + ("" if name == "*" else f" in {name}")
                found.append(Finding("labels", task if name == "*" else f"{name}/{task}", f"{where}: {words}"))
                if name == "*":  # its scenarios would say the same
                    break
    return found


def _label(cell: tuple[int, int, int], past: Sequence[tuple[int, int, int]]) -> str | None:
    rows, seen, positives = cell
    if not past:
        return None
    share = sum(one[1] for one in past) / sum(one[0] for one in past)
    expected = rows * share
    if expected >= 20 and seen < 0.5 * expected:
        return f"known in {seen / rows:.0%} of the rows; before in {share:.0%}"
    if not seen:
        return None
    known, ones = sum(one[1] for one in past), sum(one[2] for one in past)
    rate = ones / known
    odds = [_odds(one[2], one[1]) for one in past]
    gap = _odds(positives, seen) - _odds(ones, known)
    error = sqrt(sum(1 / (one + 0.5) for one in (positives, seen - positives, ones, known - ones)))
    bound = max(RATE, 3 * float(np.std(odds)))
    chance = SURE * sqrt(seen * rate * (1 - rate)) + 1  # rows by which so few may differ in number
    if abs(gap) - SURE * error <= bound or abs(positives - seen * rate) <= chance:
        return None
    low, high = (_share(_odds(positives, seen) + sign * SURE * error) for sign in (-1, 1))
    one_class = {0: "0 everywhere", seen: "1 everywhere"}.get(positives)
    now = one_class or f"{positives / seen:.3%} positive ({low:.3%} to {high:.3%})"
    return f"{now} in {seen:,} rows; before {rate:.3%}"


def _shifted(profile: Profile, before: Sequence[Profile], stretches: Sequence[Profile]) -> list[Finding]:
    """Each feature against the periods before. What is like any of the last ones is usual: a weekday comes back.

    So is what is like one of the last two stretches of the fit's rows, while these are among the last ones, and what a
    trend leads to. An earlier stretch may hold a fault that was mended since.
    """
    found = []
    recent = [*(stretches[-NEWEST:] if len(before) <= RECENT else ()), *before[-RECENT:]]
    line = in_order([*(stretches or before[:1]), *before[1:]])[-RECENT:]
    for name, bins in profile.fields.items():
        past: list[Counts] = [one.fields[name] for one in recent if sum(one.fields.get(name, ()))]
        if not past or not sum(bins):
            continue
        past += ahead(line, name, profile)
        nearest = min(past, key=lambda one: float(stability(bins, one).sum()))
        parts = stability(bins, nearest)
        bound = SHIFT + 3 * (len(parts) - 1) * (1 / sum(bins) + 1 / sum(nearest))  # and what chance may give
        if parts.sum() > bound:
            words = f"feature {name} has shifted: stability index {parts.sum():.2f} against the nearest period before"
            most = _most(bins, nearest, parts, ids=name in profile.unknown)
            found.append(Finding("shift", name, f"{words} (bound {bound:.2f}); {most}"))
    return found


def _strange(profile: Profile, before: Sequence[Profile]) -> list[Finding]:
    """Features of which many more values are unknown than before: another coding, or another kind of row."""
    found = []
    for name, count in profile.unknown.items():
        past = [one.unknown[name] / max(_values(one, name), 1) for one in before if name in one.unknown]
        share = count / max(_values(profile, name), 1)
        if past and share > max(past) + UNKNOWN:
            words = f"feature {name}: {share:.0%} of its values are unknown; before at most {max(past):.0%}"
            found.append(Finding("shift", name, f"{words} (bound {max(past) + UNKNOWN:.0%})"))
    return found


def _missing(profile: Profile, before: Sequence[Profile]) -> list[Finding]:
    """Numbers and moments of which many more are missing than before."""
    found, rows = [], max(profile.rows, 1)
    for name, count in profile.missing.items():
        past = [one.missing[name] / max(one.rows, 1) for one in before if name in one.missing]
        if past and count / rows > max(past) + UNKNOWN:
            words = f"feature {name}: {count / rows:.0%} of its values are missing; before at most {max(past):.0%}"
            found.append(Finding("shift", name, f"{words} (bound {max(past) + UNKNOWN:.0%})"))
    undated = max((one.undated / max(one.rows, 1) for one in before), default=0.0)
    if profile.undated / rows > undated + LATE:
        words = f"{profile.undated:,} of {profile.rows:,} rows have no time; before at most {undated:.0%} of them"
        found.append(Finding("late", "time", f"{words}. Whether they are late cannot be told"))
    return found


def _values(profile: Profile, name: str) -> int:
    return profile.unknown[name] + profile.later.get(name, 0) + sum(profile.fields[name])


def _most(new: Counts, old: Counts, parts: np.ndarray, *, ids: bool) -> str:
    """In which bin most of the shift is."""
    place = int(parts.argmax())
    was, now = old[place] / sum(old), new[place] / sum(new)
    if ids:
        name = "null" if place == 1 else "one frequent value" if place < SINGLE else "a range of rarer values"
    elif len(new) == len(EDGES) + 1:
        low, high = (f"{EDGES[at]:.4g}" if 0 <= at < len(EDGES) else "" for at in (place - 1, place))
        name = f"{low} to {high} (as the model reads it)" if low and high else f"beyond {low or high}"
    else:
        name = "empty" if place == 0 else f"about {2**place - 1}"
    return f"{name} went from {was:.0%} to {now:.0%}"


def _odds(positives: int, seen: int) -> float:
    return log((positives + 0.5) / (seen - positives + 0.5))


def _share(odds: float) -> float:
    return 1 / (1 + np.exp(-odds)) if odds > -inf else 0.0
