"""test_executorchfile: a program is first asked with what it takes, and texts are filled up to their end."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lichen.core.digest import digest_bytes
from lichen.core.errors import StepError
from lichen.engine.programs import executorchfile, phone


class Method:
    """Stands in for a method of the runtime: says what it takes, and refuses all else as the runtime does."""

    def __init__(self, sizes, kind, dtype):
        told = SimpleNamespace(sizes=lambda: sizes, dtype=lambda: kind)
        self.metadata = SimpleNamespace(input_tensor_meta=lambda number: told)
        self.sizes, self.dtype, self.seen = sizes, dtype, []

    def execute(self, given):
        (x,) = given
        if x.dtype != self.dtype or x.shape[1:] != self.sizes[1:] or len(x) > self.sizes[0]:
            raise RuntimeError("method->execute() failed with error 0x12")
        self.seen.append(x)
        return (x.flatten(1).float().sum(1, keepdim=True),)


@pytest.fixture
def loaded(monkeypatch):
    def load(*told):
        method = Method(*told)
        monkeypatch.setattr(executorchfile, "_library", lambda: None)
        monkeypatch.setattr(executorchfile, "num_threads", lambda: 1)
        monkeypatch.setattr(executorchfile, "_method", lambda data: method)
        monkeypatch.setattr(executorchfile, "_sound", {digest_bytes(b"")})
        return method

    return load


@pytest.mark.parametrize("told", [
    ((32, 3, 4, 4), 0, torch.uint8), ((32, 12), 3, torch.int32), ((32, 5), 6, torch.float32),
])  # fmt: skip
def test_a_program_is_first_asked_with_what_it_takes(loaded, told):
    method = loaded(*told)
    assert executorchfile.loaded(b"") == (method, 32)
    (first,) = method.seen
    assert first.shape == (1, *told[0][1:]) and not first.any()


def test_texts_are_filled_up_and_more_rows_come_in_turns(loaded):
    method = loaded((4, 12), 3, torch.int32)
    rows = np.arange(1, 55, dtype=np.int32).reshape(9, 6)
    found = phone.Phone(b"", None)(rows)
    assert np.array_equal(found[:, 0], rows.sum(1)) and [len(x) for x in method.seen] == [1, 4, 4, 1]
    assert all(not x[:, 6:].any() for x in method.seen)


@pytest.mark.parametrize("cell", ["aten.gru.input", "aten.lstm.input"])
def test_cells_are_refused_by_name(cell):
    exported = SimpleNamespace(graph=SimpleNamespace(nodes=[SimpleNamespace(target=cell)]))
    with pytest.raises(StepError, match=f"no kernel for cells that remember .{cell}"):
        executorchfile.written(exported)
