"""The seven worlds that `polyrec simulate` knows, and what each is for."""

from collections.abc import Callable
from dataclasses import dataclass, field

from polyrec.errors import ConfigError, unknown

TASKS = ("click", "action", "buy")
HEADS = (*TASKS, "direct")  # direct: a buy without a click


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a preference comes from: shares of its variance, which add up to one.

    shared: common to all scenarios and tasks · task: to all scenarios · group: to the scenarios of a group ·
    own: to all tasks of one scenario · cell: to one scenario and task alone.
    """

    shared: float
    task: float
    group: float
    own: float
    cell: float

    def __post_init__(self) -> None:
        total = self.shared + self.task + self.group + self.own + self.cell
        if abs(total - 1.0) > 1e-9:
            raise ConfigError(f"the parts of a preference add up to {total:.4g}; they are shares of 1. Mend them.")


@dataclass(frozen=True, slots=True)
class Heads:
    """One number for each of click, action, buy (after a click) and direct (a buy without one)."""

    click: float
    action: float
    buy: float
    direct: float

    @property
    def values(self) -> tuple[float, float, float, float]:
        """In the order of `HEADS`."""
        return self.click, self.action, self.buy, self.direct


@dataclass(frozen=True, slots=True)
class Preset:
    """What a world is made of. Rates are of an average row; `noise` and `signal` are sds of logits."""

    scenarios: int = 5
    smallest: float | None = None  # share of rows of the last scenario; None: half of an equal share
    largest: float | None = None  # share of the first; None: sizes fall by one ratio
    groups: int = 1
    contrary: tuple[int, ...] = ()  # scenarios that want the opposite of what the others share
    parts: Parts = field(default_factory=lambda: Parts(shared=0.6, task=0.2, group=0.0, own=0.12, cell=0.08))
    flows: bool = False  # plant useless scenario and task information
    rates: Heads = field(default_factory=lambda: Heads(click=0.16, action=0.3, buy=0.12, direct=0.0))
    signal: Heads = field(default_factory=lambda: Heads(click=1.4, action=1.2, buy=1.5, direct=1.3))
    noise: Heads = field(default_factory=lambda: Heads(click=0.3, action=0.2, buy=0.3, direct=0.2))
    seen: float = 0.4  # share of the variance of `noise` that the feature `intent` shows
    action_lift: float = 1.5  # what an action adds to the logit of a buy
    users: int = 5_000
    items: int = 1_000
    new_users: float = 0.1  # share that arrives after the first day
    new_items: float = 0.1
    turn: float = 0.2  # radians by which preferences turn from the first day to the last
    unlabelled: float = 0.0  # share of rows whose labels are null
    explored: float = 0.1  # share of rows whose item the policy draws evenly

    @property
    def strict(self) -> bool:
        """No buy without a click."""
        return self.rates.direct == 0.0


def balanced() -> Preset:
    """Five scenarios of like size that agree in most things: the plain case, where sharing helps everybody.

    Use it to see that a method works at all: pooled beats single, adaptation adds a little, nothing harms.
    """
    return Preset()


def starved() -> Preset:
    """Six scenarios from two thirds of the rows down to 0.2 %, in two groups of relatives.

    The small ones cannot learn their taste alone; a large relative has it. Scenarios of the other group are
    indifferent. A part of the rows carries no labels. For transfer, self-supervision and retrieval.
    """
    parts = Parts(shared=0.12, task=0.15, group=0.55, own=0.1, cell=0.08)
    return Preset(scenarios=6, smallest=0.002, groups=2, parts=parts, unlabelled=0.1)


def conflict() -> Preset:
    """Half of the rows come from a scenario that wants the opposite of what all others share.

    Pooling with it harms all but the smallest (2 %), which has too few rows to learn from alone: for negative
    transfer, sample selection and guards.
    """
    parts = Parts(shared=0.55, task=0.2, group=0.0, own=0.17, cell=0.08)
    return Preset(smallest=0.02, largest=0.5, contrary=(0,), parts=parts)


def selection() -> Preset:
    """What makes people click also makes them buy, and only a part of it is seen.

    A model of buys trained on clicks is far too high where nobody clicked; buys without a click happen,
    so the whole space has labels to learn from. For entire-space and counterfactual objectives.
    """
    return Preset(
        rates=Heads(click=0.16, action=0.3, buy=0.08, direct=0.02),
        noise=Heads(click=1.2, action=0.6, buy=1.5, direct=0.8),
        users=15_000,
        items=3_000,
    )


def noclick() -> Preset:
    """Most buys happen without a click, and follow a taste of their own.

    A method that has no route around the click misses them. For the unclicked route of entire-space models.
    """
    parts = Parts(shared=0.35, task=0.45, group=0.0, own=0.12, cell=0.08)
    rates = Heads(click=0.14, action=0.3, buy=0.1, direct=0.07)
    return Preset(parts=parts, rates=rates, users=15_000, items=3_000)


def flows() -> Preset:
    """Some scenario and task information is planted useless, cell by cell.

    `describe(...)["flows"]` says which of the four flows (shared or own scenario, shared or own task) carries
    anything in each scenario and task: every third scenario has no preferences common to its tasks, `action`
    none of its own, every second cell nothing of its own. Rates differ by task alone, devices and hours act
    alike everywhere. For selection of information flows, where the truth of a gate is known.
    """
    even = Heads(click=1.4, action=1.4, buy=1.4, direct=1.4)
    noise = Heads(click=0.3, action=0.3, buy=0.3, direct=0.3)
    parts = Parts(shared=0.3, task=0.2, group=0.0, own=0.25, cell=0.25)
    return Preset(flows=True, parts=parts, signal=even, noise=noise)


def drift() -> Preset:
    """Preferences turn by a right angle over the days, and a third of users and items is new.

    Yesterday's model is wrong today: for continual training, vocabulary growth and forgetting.
    """
    return Preset(turn=1.57, new_users=0.35, new_items=0.35)


PRESETS: dict[str, Callable[[], Preset]] = {
    make.__name__: make for make in (balanced, starved, conflict, selection, noclick, flows, drift)
}


def named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ConfigError: no preset is called so.

    Example:
        >>> named("starved").smallest
        0.002
        >>> try:
        ...     named("starve")
        ... except ConfigError as reason:
        ...     print(str(reason)[-23:])
        Did you mean 'starved'?
    """
    if name not in PRESETS:
        raise ConfigError(unknown("preset", name, PRESETS))
    return PRESETS[name]()
