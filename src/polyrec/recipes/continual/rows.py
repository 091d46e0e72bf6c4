"""Which rows of a period are trained on, which are held out, and what of both is kept."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from polyrec.atomic import whole_file
from polyrec.batch import Batch
from polyrec.config import RunConfig
from polyrec.data.content import Content
from polyrec.data.files import Source
from polyrec.data.held import join
from polyrec.data.loader import Loader
from polyrec.data.where import Both, Named, Share, Where
from polyrec.recipes.continual.folder import ContinualFolder
from polyrec.recipes.continual.state import State
from polyrec.recipes.outcome import decoded
from polyrec.recipes.recipe import get
from polyrec.recipes.transferring import options_of
from polyrec.schema import Schema

KEPT = 20_000  # rows of a period, of either kind
BATCH = 2_048


def of_target(run: RunConfig, source: Source, schema: Schema) -> Source:
    """The rows that the run is for: the target's alone under a transfer recipe."""
    if get(run.recipe).transfer_options is None:
        return source
    return _also(source, Named(schema.keys.scenario, (options_of(run).target,)))


def learned_from(state: State, source: Source) -> Source:
    """The rows that a period is learned from: the target's, unless what goes on or its teacher learns from all."""
    everywhere = state.teacher is not None or state.learner.assembly.stage.data == "train"
    return source if everywhere else of_target(state.run, source, state.schema)


def held_out(source: Source, share: float, schema: Schema, seed: int) -> Source:
    """The share of a period that is never trained on, by what the rows are: the same rows in whatever file they come.

    Rows are known by their keys, two of user, item and time at least; without them, by their numbers in the files.
    """
    return _also(source, _share(0.0, share, schema, seed))


def rest(source: Source, share: float, schema: Schema, seed: int) -> Source:
    """All other rows."""
    return _also(source, _share(share, 1.0, schema, seed)) if share else source


def known_again(schema: Schema) -> bool:
    """Whether keys tell a row from others."""
    return sum(key is not None for key in (schema.keys.user, schema.keys.item, schema.keys.time)) >= 2


def _share(low: float, high: float, schema: Schema, seed: int) -> Where:
    keys = schema.keys
    if not known_again(schema):
        return Share(low, high, seed)
    found = (keys.scenario, keys.user, keys.item, keys.time)
    return Content(low, high, seed, tuple(dict.fromkeys(key for key in found if key is not None)))


def sample(source: Source | None, state: State, path: Path, seed: int) -> None:
    """Keep rows of a period as they are, some 20,000 drawn by their numbers; none: nothing is left there.

    What lies there may be of a period that was gone back from.
    """
    path.unlink(missing_ok=True)
    rows = 0 if source is None else source.rows()
    if source is None or not rows:
        return
    if rows > KEPT:
        source = _also(source, Share(0.0, KEPT / rows, seed + 1))
    keys = state.schema.keys
    names = [*state.encoder.columns(), *([keys.time] if keys.time else [])]
    tables = list(source.tables(tuple(dict.fromkeys(names))))
    if not tables:
        return
    plain = [pa.table({name: decoded(one[name]) for name in one.column_names}) for one in tables]
    with whole_file(path) as target:
        pq.write_table(pa.concat_tables(plain), target)


def stored(state: State, out: ContinualFolder, before: int) -> Batch:
    """The kept rows of all earlier periods that were trained on, as the present model reads them."""
    paths = tuple(path for number in range(before) if (path := out.sample("replay", number)).exists())
    batches = [one for path in paths for one in Loader(Source((path,)), state.encoder, batch_size=BATCH).ordered()]
    return join(batches)


def _also(source: Source, where: Where) -> Source:
    return source.filtered(where if source.where is None else Both(source.where, where))
