"""test_group: processes are joined over gloo, each has an accelerator of its own, and they part again."""

import socket

import pytest
import torch
from torch import distributed

from lichen.core.errors import UsageError
from lichen.engine.training import group


@pytest.fixture
def told(monkeypatch):
    """What torchrun would say to a process that is alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, text in dict(
        RANK=0, LOCAL_RANK=0, WORLD_SIZE=1, MASTER_ADDR="127.0.0.1", MASTER_PORT=port
    ).items():
        monkeypatch.setenv(name, str(text))


def test_a_group_is_joined_and_left(told):
    joined = group.join("cpu")
    assert (joined.rank, joined.world) == (0, 1)
    assert joined.told({"found": [1, None]}) == {"found": [1, None]}
    joined.leave()
    assert not distributed.is_initialized()


def test_a_group_that_a_script_has_joined_stays(told):
    distributed.init_process_group("gloo")
    try:
        group.join("cpu").leave()
        assert distributed.is_initialized()
    finally:
        distributed.destroy_process_group()


def test_more_processes_than_accelerators_are_refused(told, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="more processes than accelerators"):
        group.join("cuda")
