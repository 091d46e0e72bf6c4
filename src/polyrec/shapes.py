"""The one key to the letters in shape comments and annotations.

| letter | size |
|---|---|
| B | rows of a batch (may be 0) |
| S | scenarios |
| T | tasks or heads |
| F | categorical fields |
| N | numeric fields (items, in retrieval) |
| D | width of one embedding |
| I, O | width in, width out of a block |
| H | hidden width |
| E | experts |
| R | rank of a low-rank unit |
| L | length of a sequence, V: values of all sequences of a batch |
| K | results asked for; in metrics, as many as are found (bins, groups, replicates) |
| C | clusters of rows that may depend on each other, U: users |

Public signatures use jaxtyping: `Float[Tensor, "B I"]`.
"""

from jaxtyping import Bool, Float
from jaxtyping import Integer as Int  # unsigned ones too
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Tensor"]
