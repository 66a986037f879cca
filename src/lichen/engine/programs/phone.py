"""phone: runs programs of ExecuTorch. Its threads are one pool per process, and methods die with their pool.

Shapes: B rows of a batch, C channels, H height, W width, T tokens of a text, K outputs.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import torch

from lichen.engine.programs import executorchfile

_lock = threading.RLock()
"""A method works in memory of its own, and the pool is everyone's: one call at a time."""
_answering: weakref.WeakSet[Phone] = weakref.WeakSet()


class Phone:
    """uint8 (B, C, H, W), or int32 (B, T) of texts, -> float32 (B, K).

    More rows than memory was planned for are answered in turns, and texts are filled up: a second length that
    is open makes kernels refuse what they were written for.

    Args:
        threads: None: as many as there are already.
    """

    def __init__(self, data: bytes, threads: int | None) -> None:
        self.data = data
        self.threads = threads
        self.method: Any = None
        self.num_rows = 0
        with _lock:
            self._load()

    def __call__(self, images_BCHW: np.ndarray) -> np.ndarray:
        with _lock, torch.inference_mode():
            self._load()
            parts = range(0, len(images_BCHW), self.num_rows)
            return np.concatenate([self._run(images_BCHW[start : start + self.num_rows]) for start in parts])

    def _run(self, images_BCHW: np.ndarray) -> np.ndarray:
        shape = executorchfile.shape_of(self.method)
        if len(shape) == 2 and images_BCHW.dtype == np.int32:
            images_BCHW = np.pad(images_BCHW, ((0, 0), (0, shape[1] - images_BCHW.shape[1])))
        (outputs_BK,) = self.method.execute((torch.from_numpy(np.array(images_BCHW)),))
        return outputs_BK.numpy().astype(np.float32, copy=False)

    def _load(self) -> None:
        """Loads the method, anew where the pool is another than it was loaded with."""
        if self.threads not in (None, executorchfile.num_threads()):
            for other in _answering:
                other.method = None
            executorchfile.set_threads(self.threads)
        if self.method is None:
            self.method, self.num_rows = executorchfile.loaded(self.data)
            _answering.add(self)
