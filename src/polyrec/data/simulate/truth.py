"""Probabilities of every outcome of a row, exact given everything but a momentary noise, which is integrated out."""

from collections.abc import Iterator

import numpy as np

from polyrec.data.simulate.draws import Floats

NODES = 15
CHUNK = 16_384  # rows at a time: intermediate arrays stay in the cache

COLUMNS = {
    "p_click": "click",
    "p_action": "action, over all impressions",
    "p_action_given_click": "action, given a click",
    "p_buy": "buy, over all impressions, by any route: the label's own probability",
    "p_buy_given_click": "buy, given a click",
    "p_buy_given_click_action": "buy, given a click and an action",
    "p_buy_given_click_no_action": "buy, given a click and no action",
    "p_buy_given_no_click": "buy, given no click (0 where the funnel is strict)",
    "p_buy_do_click": "buy, had everybody been made to click",
    "p_buy_do_click_given_no_click": "buy, had those who do not click been made to click",
}


def sigmoid(logit: Floats) -> Floats:
    """1 / (1 + exp(-logit)), in a new array; 0 at minus infinity."""
    out = np.negative(logit)
    np.minimum(out, 700.0, out=out)
    np.exp(out, out=out)
    out += 1.0
    return np.reciprocal(out, out=out)


def probabilities(logits: list[Floats], unseen: Floats, action_lift: float, *, strict: bool) -> dict[str, Floats]:
    """The columns of `COLUMNS`, [B] each, by Gauss-Hermite quadrature over the unseen noise e ~ N(0, 1).

    With c, a, d1, d0, n the sigmoids of the logits at e (click, action, buy with an action, without one,
    without a click), E the mean over e, and d = a d1 + (1 - a) d0 the chance of a buy once clicked:

        p_click = E[c]                            p_buy_given_click = E[c d] / E[c]
        p_buy_given_no_click = E[(1-c) n] / E[1-c]   p_buy = E[c d] + E[(1-c) n]
        p_buy_do_click = E[d]                     p_buy_do_click_given_no_click = E[(1-c) d] / E[1-c]

    Example:
        >>> zero = [np.zeros(1)] * 4
        >>> flat = probabilities(zero, np.zeros(4), 0.0, strict=False)
        >>> {name: float(flat[name][0]) for name in ("p_click", "p_action", "p_buy", "p_buy_do_click")}
        {'p_click': 0.5, 'p_action': 0.25, 'p_buy': 0.5, 'p_buy_do_click': 0.5}
    """
    rows = len(logits[0])
    found = {name: np.empty(rows) for name in COLUMNS}
    for start in range(0, rows, CHUNK):
        part = slice(start, start + CHUNK)
        chunk = _integrated([logit[part] for logit in logits], unseen, action_lift, strict)
        for name, value in chunk.items():
            found[name][part] = value
    return found


def _integrated(logits: list[Floats], unseen: Floats, action_lift: float, strict: bool) -> dict[str, Floats]:
    names = ("c", "ca", "cad", "cnd", "nd", "d", "nD")
    total = {name: np.zeros(len(logits[0])) for name in names}
    for node, weight in nodes(unseen):
        c, a, d1, d0, n = answers(logits, unseen * node, action_lift, strict=strict)
        not_c = 1.0 - c
        ca = c * a
        d = d0 + a * (d1 - d0)
        parts = (c, ca, ca * d1, (c - ca) * d0, not_c * n, d, not_c * d)
        for name, value in zip(names, parts, strict=True):
            total[name] += weight * value
    click = total["c"]
    no_click = 1.0 - click
    clicked = total["cad"] + total["cnd"]
    return {
        "p_click": click,
        "p_action": total["ca"],
        "p_action_given_click": total["ca"] / click,
        "p_buy": clicked + total["nd"],
        "p_buy_given_click": clicked / click,
        "p_buy_given_click_action": total["cad"] / total["ca"],
        "p_buy_given_click_no_action": total["cnd"] / (click - total["ca"]),
        "p_buy_given_no_click": total["nd"] / no_click,
        "p_buy_do_click": total["d"],
        "p_buy_do_click_given_no_click": total["nD"] / no_click,
    }


def nodes(unseen: Floats) -> Iterator[tuple[float, float]]:
    """Places and weights of the quadrature; one place where nothing is unseen."""
    if not unseen.any():
        yield 0.0, 1.0
        return
    places, weights = np.polynomial.hermite_e.hermegauss(NODES)
    for place, weight in zip(places, weights / weights.sum(), strict=True):
        yield float(place), float(weight)


def answers(
    logits: list[Floats], shift: Floats | list[Floats], action_lift: float, *, strict: bool
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Chances of click, action, buy with an action, buy without one, and buy without a click, noise known."""
    click, action, buy, direct = logits
    bought = buy + shift[2]
    return (
        sigmoid(click + shift[0]),
        sigmoid(action + shift[1]),
        sigmoid(bought + action_lift),
        sigmoid(bought),
        np.zeros_like(click) if strict else sigmoid(direct + shift[3]),
    )
