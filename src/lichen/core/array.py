"""array: dtype, shape and bytes of a tensor, before any framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIDTH_BYTES = {
    "float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4,
    "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """A read-only tensor: `dtype` by numpy's name (and `bfloat16`), C order."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def __post_init__(self) -> None:
        assert self.dtype in WIDTH_BYTES, self.dtype
        assert self.data.nbytes == self.size_bytes, (self.data.nbytes, self.dtype, self.shape)

    @property
    def count(self) -> int:
        total = 1
        for length in self.shape:
            total *= length
        return total

    @property
    def size_bytes(self) -> int:
        return self.count * WIDTH_BYTES[self.dtype]

    def numpy(self) -> Any:
        """A read-only numpy view; `bfloat16` comes as its raw `uint16`."""
        import numpy as np

        dtype = "uint16" if self.dtype == "bfloat16" else self.dtype
        view = np.frombuffer(self.data, dtype=dtype).reshape(self.shape)
        view.flags.writeable = False
        return view

    @classmethod
    def of(cls, array: Any) -> Array:
        """Takes a numpy array (any order; copied when not contiguous)."""
        import numpy as np

        whole = np.asarray(array, order="C")
        whole = whole.astype(whole.dtype.newbyteorder("<"), copy=False)
        data = memoryview(whole.tobytes()) if whole.size == 0 or whole.ndim == 0 else whole.data.cast("B")
        return cls(dtype=whole.dtype.name, shape=tuple(whole.shape), data=data)
