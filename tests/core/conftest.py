import pytest

from lichen.core.session import opened


@pytest.fixture
def session(tmp_path):
    """A run on an empty store."""
    with opened(tmp_path / ".lichen") as one:
        yield one
