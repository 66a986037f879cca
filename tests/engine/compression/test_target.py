"""test_target: limits are read strictly, and a described machine bounds threads without inventing speed."""

import pytest

from lichen.core import machine
from lichen.core.errors import OptionError
from lichen.engine.compression.target import Profile, Target, profile_of, target_of


def test_a_target_is_met_where_every_limit_is():
    target = target_of({"speedup": 4, "size_bytes": 100})
    assert target == Target(speedup=4.0, size_bytes=100.0)
    assert target.excess(latency_ms=1.0, size_bytes=100, base_ms=4.0) == 1.0
    assert target.excess(latency_ms=2.0, size_bytes=50, base_ms=4.0) == 2.0
    assert target.excess(latency_ms=0.5, size_bytes=150, base_ms=4.0) == 1.5
    assert target_of(None).is_open and target_of(None).excess(1.0, 9, 4.0) == 0.25


@pytest.mark.parametrize(("given", "said", "hint"), [
    ({"latency": 3}, "unknown `latency`", "did you mean `latency_ms`?"),
    ({"speedpu": 3}, "unknown `speedpu`", "did you mean `speedup`?"),
    ({"speedup": 0}, "must be a number above 0, not 0", None),
    ({"speedup": "4x"}, "must be a number above 0, not '4x'", None),
    ({"size_bytes": True}, "must be a number above 0", None),
])  # fmt: skip
def test_what_is_no_target_is_refused(given, said, hint):
    with pytest.raises(OptionError) as caught:
        target_of(given)
    assert said in caught.value.message and caught.value.hint == hint


def test_a_profile_bounds_threads_by_both_machines(monkeypatch):
    monkeypatch.setattr(machine, "num_cores", lambda: 4)
    assert profile_of(None).counts == [1, 4] and str(profile_of(None)) == "this machine"
    assert profile_of({"threads": 2}).counts == [1, 2]
    assert profile_of({"threads": 1}).counts == [1]
    assert profile_of({"threads": 16}).counts == [1, 4]
    assert "this machine's cores" in str(profile_of({"memory_bytes": 5e8}))
    with pytest.raises(OptionError, match="must be whole"):
        profile_of({"threads": 1.5})


def test_hard_limits_are_told_with_both_numbers():
    profile = Profile(memory_bytes=100.0, size_bytes=50.0)
    assert profile.broken(50, 100) == ""
    assert profile.broken(51, 100) == "51 bytes, and 50 may be"
    assert profile.broken(50, 101) == "needs 101 bytes of memory, and 100 there are"
