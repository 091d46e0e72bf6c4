"""A safetensors file of vectors that is written block by block."""

import json
from pathlib import Path
from typing import BinaryIO

from polyrec.errors import DataError
from polyrec.shapes import Float, Tensor

_HEADER = 8  # bytes before the header, which say how long it is


class VectorFile:
    """Vectors of which no more than a block is held; read back as the tensor `vectors`, [N, D].

    Args:
        path: the file, which is begun with the first block.
        count: N, how many there will be.

    Raises:
        DataError: at the end: there were more or fewer, or of several widths; or one that is not a number.

    Example:
        >>> import tempfile, torch
        >>> from safetensors.torch import load_file
        >>> path = Path(tempfile.mkdtemp()) / "vectors.safetensors"
        >>> with VectorFile(path, 3) as file:
        ...     file.append(torch.ones(2, 4))
        ...     file.append(torch.zeros(1, 4))
        >>> load_file(path)["vectors"].sum(1).tolist()
        [4.0, 4.0, 0.0]
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count = path, count
        self.written, self.width = 0, 0
        self._file: BinaryIO | None = None

    def append(self, vectors: Float[Tensor, "B D"]) -> None:
        """Write the next block."""
        bad = int((~vectors.isfinite()).any(1).sum())
        if bad:
            raise DataError(
                f"{bad} of {len(vectors)} item vectors hold NaN or infinity. Look at the model they are of."
            )
        if self._file is None:
            self.width, self._file = vectors.shape[1], self.path.open("wb")
            shape = [self.count, self.width]
            told = {"vectors": {"dtype": "F32", "shape": shape, "data_offsets": [0, self.count * self.width * 4]}}
            header = json.dumps(told).encode()
            header += b" " * (-len(header) % _HEADER)
            self._file.write(len(header).to_bytes(_HEADER, "little") + header)
        if vectors.shape[1] != self.width:
            raise DataError(f"vectors of {vectors.shape[1]} numbers after such of {self.width}. Give all one width.")
        self._file.write(vectors.detach().float().contiguous().cpu().numpy().tobytes())
        self.written += len(vectors)

    def __enter__(self) -> "VectorFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._file.close()
        if kind is None and self.written != self.count:
            raise DataError(f"{self.path}: {self.written} vectors were written of {self.count} that were announced.")
