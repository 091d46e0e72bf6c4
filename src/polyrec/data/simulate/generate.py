"""Rows in blocks, day by day: shown by the policy, answered by the world."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polyrec.data.simulate.draws import Floats, Ints
from polyrec.data.simulate.history import History
from polyrec.data.simulate.policy import Policy
from polyrec.data.simulate.presets import TASKS
from polyrec.data.simulate.truth import answers, probabilities
from polyrec.data.simulate.world import DEVICES, POSITIONS, Rows, World

FIRST_DAY = 1_704_067_200_000  # 2024-01-01, milliseconds
DAY = 86_400_000
MOST_ROWS_A_DAY = 20_000_000  # beyond it two rows could fall on one millisecond


def generate(world: World, rows: int, block: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The log and its truth, at most `block` rows at a time, in the order of time.

    A row's values do not depend on `block`: randomness is a function of the row's index, the policy learns at
    the end of a day, and histories are exact at every row.
    """
    policy, history = Policy(world), History(world.preset.users)
    index = 0
    for day in range(world.days):
        policy.start(day)
        count = rows // world.days + (day < rows % world.days)
        for start in range(0, count, block):
            size = min(block, count - start)
            shown, explored = _shown(world, policy, day, index + start, start, size, count)
            yield _answered(world, policy, history, shown, explored)
        index += count


def _shown(
    world: World, policy: Policy, day: int, first: int, start: int, size: int, count: int
) -> tuple[Rows, NDArray[np.bool_]]:
    draws = world.draws
    index = np.arange(first, first + size)
    scenario = np.searchsorted(np.cumsum(world.sizes)[:-1], draws.uniform("row/scenario", index), side="right")
    user = policy.users(index, scenario)
    item, explored = policy.items(index, scenario, user)
    rows = Rows(
        index=index,
        day=day,
        time=_times(day, (np.arange(start, start + size) + 0.5 * draws.uniform("row/time", index)) / count),
        scenario=scenario,
        user=user,
        item=item,
        position=(POSITIONS * draws.uniform("row/position", index)).astype(np.int64),
        device=np.searchsorted([0.6, 0.7], draws.uniform("row/device", index), side="right"),
        intent=draws.normal("row/intent", index).astype(np.float32).astype(np.float64),
    )
    return rows, explored


def _times(day: int, share: Floats) -> Ints:
    """Milliseconds at a share of the day's rows: noon is three times as busy as midnight; strictly rising."""
    warped = share + np.sin(2 * np.pi * share) / (4 * np.pi)
    return FIRST_DAY + day * DAY + (warped * DAY).astype(np.int64)


def _answered(
    world: World, policy: Policy, history: History, rows: Rows, explored: NDArray[np.bool_]
) -> tuple[pa.Table, pa.Table]:
    logits = world.logits(rows)
    outcome, known = _outcomes(world, rows, logits)
    labelled = world.draws.uniform("row/unlabelled", rows.index) >= world.preset.unlabelled
    recorded = outcome["click"] & labelled
    sequence = history.pass_by(rows.user, rows.item, recorded)
    policy.learn(rows.scenario, rows.user, rows.item, recorded)
    marginal = probabilities(logits, world.unseen, world.preset.action_lift, strict=world.preset.strict)
    columns = {name: pa.array(value.astype(np.float32)) for name, value in (marginal | known).items()}
    columns |= {name: pa.array(value.astype(np.int8)) for name, value in outcome.items()}
    columns["explored"] = pa.array(explored)
    labels = {name: pa.array(outcome[name].astype(np.int8), mask=~labelled) for name in TASKS}
    log = pa.table(_log_columns(world, rows, sequence) | labels)
    return log, pa.table(columns | _relation_columns(world, rows.scenario))


def _outcomes(world: World, rows: Rows, logits: list[Floats]) -> tuple[dict[str, NDArray[np.bool_]], dict[str, Floats]]:
    """What happens on each row, what would have happened had it been clicked, and the chances of it, noise known."""
    draws = world.draws
    noise = draws.normal("row/noise", rows.index)
    shift = [load * noise for load in world.unseen]
    click, action, buy, plain, direct = answers(logits, shift, world.preset.action_lift, strict=world.preset.strict)
    draw = {name: draws.uniform(f"row/{name}", rows.index) for name in ("click", "action", "buy", "direct")}
    clicked = draw["click"] < click
    would_act = draw["action"] < action
    would_buy = draw["buy"] < np.where(would_act, buy, plain)
    outcome = {
        "click": clicked,
        "action": clicked & would_act,
        "buy": np.where(clicked, would_buy, draw["direct"] < direct),
        "buy_if_clicked": would_buy,
    }
    bought = plain + action * (buy - plain)
    known = {
        "p_click_with_noise": click,
        "p_buy_with_noise": click * bought + (1 - click) * direct,
        "p_buy_do_click_with_noise": bought,
        "noise": noise,
    }
    return outcome, known


def _log_columns(world: World, rows: Rows, sequence: tuple[NDArray[np.int32], Ints]) -> dict[str, pa.Array]:
    people, goods = world.people, world.goods
    age, quality = people.age[rows.user], goods.quality[rows.item]
    values, offsets = sequence
    return {
        "user_id": pa.array(rows.user.astype(np.int32)),
        "item_id": pa.array(rows.item.astype(np.int32)),
        "scenario": _named(rows.scenario, world.names),
        "time_ms": pa.array(rows.time),
        "day": pa.array(np.full(len(rows.index), rows.day, np.int16)),
        "hour": pa.array(rows.hour.astype(np.int8)),
        "position": pa.array(rows.position.astype(np.int8)),
        "device": _named(rows.device, DEVICES),
        "intent": pa.array(rows.intent.astype(np.float32)),
        "user_segment": pa.array(people.segment[rows.user].astype(np.int16)),
        "user_age": pa.array(age.astype(np.int8), mask=age < 0),
        "user_taste_1": pa.array(people.taste[:, 0][rows.user].astype(np.float32)),
        "user_taste_2": pa.array(people.taste[:, 1][rows.user].astype(np.float32)),
        "user_taste_3": pa.array(people.taste[:, 2][rows.user].astype(np.float32)),
        "user_days_active": pa.array(people.days_active[rows.user].astype(np.float32)),
        "item_category": pa.array(goods.category[rows.item].astype(np.int16)),
        "item_brand": pa.array(goods.brand[rows.item].astype(np.int16)),
        "item_price": pa.array(goods.price[rows.item].astype(np.float32)),
        "item_quality": pa.array(quality.astype(np.float32), mask=np.isnan(quality)),
        "hist_items": pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values)),
    }


def _named(code: Ints, names: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), pa.array(names)).cast(pa.string())


def _relation_columns(world: World, scenario: Ints) -> dict[str, pa.Array]:
    """Column `relation_<scenario>`: 1 where the row helps that scenario, 0 indifferent, -1 where it conflicts."""
    if len(world.names) > 32:
        return {}
    value = {"helps": 1, "indifferent": 0, "conflicts": -1}
    matrix = np.array([[value[word] for word in row] for row in world.taste.relations()], np.int8)
    return {f"relation_{name}": pa.array(matrix[:, place][scenario]) for place, name in enumerate(world.names)}
