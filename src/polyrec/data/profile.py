"""What a period of rows looks like, in one pass and a few kilobytes: to compare it with the periods before."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.tally import Tally
from polyrec.progress import Progress, told

SKETCH = 1_024  # smallest hashes of rows that are kept
LONG = 16 * SKETCH  # of a fit's rows, which are those of many periods


@dataclass(frozen=True, slots=True)
class Profile:
    """Counts of a period.

    `fields`: how many values fall into each bin, by feature. Ids: null, fourteen single ones, then ranges that double;
    those that the vocabulary does not know are in `unknown`, those that it learned since the fit in `later`: bins of
    two periods hold the same values, however it has grown between them. Numbers: ranges of what the model reads. A
    sequence is there twice, by its values and by its `length of`.
    `labels`: by task and scenario (`"*"`: all), rows, rows where it was observed, and positives among them.
    `digest`: the sum of the rows' hashes, labels left out, which no order of rows changes. `sketch`: the smallest of
    those hashes, from which the share of rows that two periods have in common is told.
    `missing`: null, NaN and infinite values of each number. `undated`: rows without a time.
    `time`: first and last moment, dates and times in microseconds since 1970. `usual`: without the outermost hundredth
    at either end, which one wrong clock does not move.
    """

    rows: int
    fields: Mapping[str, list[int]]
    labels: Mapping[str, Mapping[str, tuple[int, int, int]]]
    scenarios: Mapping[str, int]
    digest: str
    sketch: tuple[int, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)
    later: Mapping[str, int] = field(default_factory=dict)
    time: tuple[Any, Any] | None = None
    usual: tuple[Any, Any] | None = None
    late: int = 0  # rows before the moment asked for
    missing: Mapping[str, int] = field(default_factory=dict)
    undated: int = 0

    @classmethod
    def of(
        cls,
        source: Source,
        encoder: Encoder,
        before: Any = None,
        progress: Progress | None = None,
        *,
        first: Mapping[str, int] | None = None,
        sketch: int = SKETCH,
    ) -> "Profile":
        """Read the rows once.

        Args:
            source: the period.
            encoder: of the model that stands; it must take rows of unknown scenarios.
            before: rows whose time lies before it are counted as late.
            progress: told how many rows are read.
            first: ids of the fit's vocabulary, by feature; the encoder's where None.
            sketch: how many hashes of rows are kept.

        Raises:
            DataError: a column is missing or of the wrong type, or a label is not 0, 1 or null.
        """
        keys, schema = encoder.schema.keys, encoder.schema
        columns = tuple(dict.fromkeys([*encoder.columns(), *([keys.time] if keys.time else [])]))
        tally = Tally(first if first is not None else sizes(encoder), sketch)
        for table in told(progress, "reading rows", source.tables(columns), source.rows()):
            tally.add(encoder.encode(table), table[keys.scenario])
            tally.hash(table, encoder)
            if keys.time:
                tally.clock(table[keys.time], before)
        return cls(**tally.done([task.name for task in schema.tasks]))

    def overlap(self, other: "Profile") -> float:
        """The share of these rows that `other` has too, as the sketches tell it.

        Example:
            >>> one = Profile(4, {}, {}, {}, "", (1, 3, 5, 7))
            >>> one.overlap(Profile(9, {}, {}, {}, "", (1, 5, 6, 9)))
            0.5
        """
        common, seen = self.common(other)
        return common / seen if seen else 0.0

    def common(self, other: "Profile") -> tuple[int, int]:
        """Of this period's hashes up to where both sketches reach, how many `other` has too, and how many there are."""
        full = [one.sketch[-1] for one in (self, other) if 0 < len(one.sketch) < one.rows]
        reach = min(full, default=max((*self.sketch, *other.sketch), default=0))
        mine = {one for one in self.sketch if one <= reach}
        return len(mine.intersection(other.sketch)), len(mine)

    @property
    def until(self) -> Any:
        """The moment up to which these rows usually reach."""
        return self.usual[1] if self.usual is not None else self.time and self.time[1]

    def strays(self) -> bool:
        """Whether the last moment lies further behind the usual ones than they are long."""
        if self.usual is None or self.time is None or isinstance(self.time[1], str):
            return False
        return bool(self.time[1] - self.usual[1] > self.usual[1] - self.usual[0])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Profile":
        """A profile from plain values."""
        labels = {task: {name: tuple(one) for name, one in cells.items()} for task, cells in values["labels"].items()}
        pairs = {name: pair and tuple(pair) for name in ("time", "usual") for pair in [values.get(name)]}
        return cls(**{**values, "labels": labels, "sketch": tuple(values["sketch"]), **pairs})


def sizes(encoder: Encoder) -> dict[str, int]:
    """How many ids each feature has."""
    layout = encoder.layout
    return {one.name: one.size for one in (*layout.categorical, *layout.sequences)}
