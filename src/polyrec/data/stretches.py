"""How features moved while the training rows were made: a profile of each stretch of their time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyrec.data.encode import Encoder
from polyrec.data.files import Source
from polyrec.data.moments import micros
from polyrec.data.profile import Profile, sizes
from polyrec.data.tally import Tally
from polyrec.progress import Progress, told

COUNT = 8  # stretches
ROWS = 1_000  # of a stretch, at least, in the mean: fewer tell little of a distribution
LEAST = 0.25  # of the mean number of rows, below which a stretch is left out


def stretches(
    source: Source, encoder: Encoder, whole: Profile, progress: Progress | None = None
) -> tuple[Profile, ...]:
    """Profiles of up to eight equally long stretches of the usual time, oldest first: features and moments alone.

    None where there is no time, where it is a text, or where the rows are too few. Rows before and after the usual time
    are of the outermost stretches, rows without a time of none.

    Args:
        source: the rows.
        encoder: as for `Profile.of`.
        whole: the profile of all of them.
        progress: told how many rows are read.

    Raises:
        DataError: a column is missing or of the wrong type.
    """
    column, count = encoder.schema.keys.time, min(COUNT, whole.rows // ROWS)
    if column is None or whole.usual is None or isinstance(whole.usual[0], str) or count < 2:
        return ()
    first, last = whole.usual
    edges = np.linspace(float(first), float(last), count + 1)[1:-1]
    tallies = [Tally(sizes(encoder), 0) for _ in range(count)]
    columns = tuple(dict.fromkeys([*encoder.columns(), column]))
    for table in told(progress, "reading rows", source.tables(columns), source.rows()):
        for place, rows in _parted(table, column, edges):
            tallies[place].add(encoder.encode(rows), rows[encoder.schema.keys.scenario])
            tallies[place].clock(rows[column], None)
    least = LEAST * whole.rows / count
    found = (one.done([]) for one in tallies if one.rows >= least)
    kept = ("rows", "fields", "unknown", "time", "usual")
    return tuple(
        Profile(labels={}, scenarios={}, digest="", sketch=(), **{name: one[name] for name in kept}) for one in found
    )


def _parted(table: pa.Table, column: str, edges: np.ndarray) -> Iterator[tuple[int, pa.Table]]:
    """Rows by the stretch that they are of."""
    moments = table[column]
    if pa.types.is_dictionary(moments.type):
        moments = moments.cast(moments.type.value_type)
    moments = micros(moments) if pa.types.is_temporal(moments.type) else moments
    values = pc.cast(moments, pa.float64(), safe=False).to_numpy()
    places = np.where(np.isnan(values), -1, np.searchsorted(edges, values, "right"))
    for place in np.unique(places[places >= 0]).tolist():
        yield place, table.filter(pa.array(places == place))
