"""conftest: a graph is written once for all tests of a file, which takes seconds."""

from functools import cache

import pytest

from lichen.engine.programs import graph


@pytest.fixture(autouse=True, scope="module")
def written_once():
    """That equal Models make equal files is asked in `test_graph`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "onnx_of", cache(graph.onnx_of))
        yield
