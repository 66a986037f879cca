"""test_peers: of processes that live one life one keeps the record, and all of them train."""

import multiprocessing
import os
import traceback

import pytest
import toy

from lichen.core import calling, peers
from lichen.core.context import Context
from lichen.core.errors import StepError, UsageError
from lichen.core.session import Session, opened, using
from lichen.core.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
FORK = multiprocessing.get_context("fork")


class Piped:
    """A `peers.Group` of two over a pipe."""

    world = 2

    def __init__(self, rank, end):
        self.rank, self.end = rank, end

    def told(self, thing):
        if self.rank == 0:
            self.end.send(thing)
            return thing
        assert self.end.poll(300), "the first process said nothing"
        return self.end.recv()

    def leave(self):
        self.end.close()


def process(rank, end, life, answers):
    peers._here = peers._Here(group=Piped(rank, end))
    try:
        with opened(".lichen") as session:
            answers.put((rank, life(session)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test sees it
        answers.put((rank, error if isinstance(error, StepError | ValueError) else traceback.format_exc()))


def lived(life):
    """What a life answers in both processes."""
    answers = FORK.Queue()
    both = [
        FORK.Process(target=process, args=(rank, end, life, answers)) for rank, end in enumerate(FORK.Pipe())
    ]
    for one in both:
        one.start()
    found = dict(answers.get(timeout=300) for _ in both)
    for one in both:
        one.join(timeout=60)
    return found


def counted(session):
    """A life of two steps, and how often a body ran and a choice was measured here."""
    ran, toy.MEASURED[:] = [], []
    body = calling._made
    calling._made = lambda step, *rest: ran.append(step.address) or body(step, *rest)
    model = toy.choose(toy.rows(seed=1))
    return model.digest, model.made.call.id, ran, list(toy.MEASURED), dict(model.made.call.environment)


def test_the_first_computes_and_the_other_reads_it():
    found = lived(counted)
    assert found[0][:2] == found[1][:2]
    assert found[0][2] == ["toy:rows", "toy:choose"] and found[1][2] == []
    assert "ranks" not in found[0][4]
    assert len(Store(".lichen").records.rows("SELECT id FROM calls")) == 2
    assert len(os.listdir(".lichen/runs")) == 1


def test_a_training_runs_in_both_and_is_recorded_once(monkeypatch):
    monkeypatch.setattr(peers, "TRAINS", "toy")
    found = lived(counted)
    assert found[0][:2] == found[1][:2]
    assert found[0][2] == found[1][2] == ["toy:rows", "toy:choose"]
    assert found[0][3] == [1] and found[1][3] == []
    assert found[0][4]["ranks"] == 2
    assert len(Store(".lichen").records.rows("SELECT id FROM calls")) == 2
    again = lived(counted)
    assert again[0][:2] == again[1][:2] == found[0][:2]
    assert again[0][2] == again[1][2] == []


def test_a_choice_is_measured_by_the_first_alone():
    def life(session):
        context = Context(session, "s", "k")
        return [context.decide("threads", lambda: [os.getpid(), peers.is_aside()], about=about)
                for about in (None, {}, {})]  # fmt: skip

    found = lived(life)
    assert found[0] == found[1]
    assert found[0][1] == found[0][2] and all(is_aside for _, is_aside in found[0])


def test_a_failure_of_the_first_ends_the_others():
    def life(session):
        calling._made = broken
        return toy.rows(seed=1)

    def broken(*rest):
        raise ValueError("no rows")

    found = lived(life)
    assert str(found[0]) == "no rows"
    assert "the first process could not go on" in str(found[1])


def test_another_call_is_noticed():
    found = lived(lambda session: toy.rows(seed=1 + peers.here().rank))
    assert "calls `toy:rows`" in str(found[1])


def test_who_is_not_called_is_alone(monkeypatch):
    assert not peers.are_called() and not peers.follows() and peers.met(lambda: "cpu") is None
    for name, text in dict(RANK="1", LOCAL_RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1").items():
        monkeypatch.setenv(name, text)
    assert peers.follows()
    with pytest.raises(UsageError, match="torchrun"):
        peers.require_life("ablate")
    with using(Session(store=Store(".lichen"))) as session:
        assert session.writable is None
    monkeypatch.setenv(peers.ALONE, "1")  # a child of such a process
    assert not peers.follows() and peers.met(lambda: "cpu") is None
    peers.require_life("ablate")
