"""conftest: one warm process for all tests of this folder."""

import pytest
from fire import harness


@pytest.fixture(scope="session")
def warm():
    process = harness.Warm()
    yield process
    process.close()
