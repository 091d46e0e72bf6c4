"""Named public data sets from a person's own files, with the protocols that papers use on them.

Nothing is fetched: `polyrec data` says where each is to be had and under which terms.
"""

from polyrec.data.named import ali_ccp, aliexpress, amazon, census, douban, hotel, journey, kuairand, movielens
from polyrec.data.named.dataset import DataSet
from polyrec.data.named.make import Made, make
from polyrec.errors import ConfigError, unknown

_ALL: dict[str, DataSet] = {
    one.name: one
    for one in (
        movielens.DATASET,
        ali_ccp.DATASET,
        kuairand.PURE,
        kuairand.SMALL,
        aliexpress.DATASET,
        census.DATASET,
        journey.DATASET,
        hotel.DATASET,
        amazon.DATASET,
        douban.DATASET,
    )
}


def names() -> tuple[str, ...]:
    """Names of the data sets.

    Example:
        >>> "movielens-1m" in names()
        True
    """
    return tuple(_ALL)


def get(name: str) -> DataSet:
    """The data set of that name.

    Raises:
        ConfigError: no data set has it.
    """
    if name not in _ALL:
        raise ConfigError(unknown("data set", name, _ALL))
    return _ALL[name]


__all__ = ["DataSet", "Made", "get", "make", "names"]
