"""Search over item vectors, per scenario: exact by default, faiss where it is installed."""

from polyrec.retrieval.approximate import AnnOptions, Approximate
from polyrec.retrieval.exact import Exact
from polyrec.retrieval.generations import Generations
from polyrec.retrieval.hits import Hits, Retriever
from polyrec.retrieval.sharded import Sharded

__all__ = ["AnnOptions", "Approximate", "Exact", "Generations", "Hits", "Retriever", "Sharded"]
