"""A full disk: exit code 5, nothing half-written, and with room again the same bytes."""

import pytest
from fire import harness

RUN = ["run", "recipe.yaml", "--no-test"]


def full_at(warm, folder, at, **order):
    return warm(folder, "command", words=RUN, at=at, how="full", **order)


def rest(folder):
    """Files that only a writer under way may have."""
    return [str(path) for path in (folder / ".lichen").glob("**/tmp/*")]


def complaints(warm, tmp_path, every, **order):
    """What is wrong with how a full disk was met, at every so-many-th operation."""
    whole = warm(harness.lay(tmp_path / "whole", "chain"))
    first = warm(harness.lay(tmp_path / "first", "chain"), "command", words=RUN)
    assert whole.code == first.code == 0, first.said
    for at in range(1, first.told("done") + 1, every):
        folder = harness.lay(tmp_path / str(at), "chain")
        met = full_at(warm, folder, at, **order)
        said = met.told("err") or ""
        if met.code not in (0, 5):
            yield f"{at}: exit code {met.code}: {met.said}"
        elif met.code == 5 and "full" not in said:
            yield f"{at}: does not say that the disk is full: {said}"
        yield from (f"{at}: left {name}" for name in rest(folder))
        # What only speeds up the next run may be missing where all went well; a step may not.
        ended = whole if met.code == 0 else harness.Outcome(met.code, [])
        yield from (f"{at}: {one}" for one in harness.violations(warm, folder, ended, whole))


def test_a_full_disk_is_said_and_survived(warm, tmp_path):
    assert list(complaints(warm, tmp_path, 83)) == []


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_operation(warm, tmp_path):
    assert list(complaints(warm, tmp_path, 1 if harness.IS_FULL else 12)) == []


def test_what_is_left_half_written_is_seen(warm, tmp_path):
    assert any("left" in one for one in complaints(warm, tmp_path, 5, defects=["leaves_parts"]))
