"""What a finished step left is there after a power loss, though only what was synced is sure to be."""

import json
import random

import pytest
from fire import harness


def recorded(warm, folder, record, **order):
    whole = warm(harness.lay(folder, "chain"), record=str(record), **order)
    assert whole.code == 0, whole.said
    return whole, list(harness.operations(record))


def lost_after(warm, tmp_path, folder, whole, done, draws):
    """Violations on the disk that a power loss after these operations leaves."""
    disk = harness.Disk(root=str(folder))
    disk.names.update({str(folder): -(10**6)})
    for operation in done:
        disk.do(*operation)
    left = harness.lay(tmp_path / f"left{len(done)}-{draws is not None}", "chain")
    disk.lay(left, random.Random(draws) if draws is not None else None)
    finished = dict(json.loads(mark) for mark in disk.marks if mark.startswith("["))
    before = harness.Outcome(-9, [{"key": key, "outputs": outputs} for key, outputs in finished.items()])
    return [f"after {len(done)}: {found}" for found in harness.violations(warm, left, before, whole)]


def all_lost(warm, tmp_path, every, **order):
    folder = tmp_path / "whole"
    whole, done = recorded(warm, folder, tmp_path / "record", **order)
    ends = list(range(1, len(done) + 1, every))
    random.Random(1).shuffle(ends)  # a defect shows soon
    for end in ends:
        for draws in (None, end):
            yield from lost_after(warm, tmp_path, folder, whole, done[:end], draws)


def test_the_record_is_what_lies_on_the_disk(warm, tmp_path):
    """The model of the disk, not cut short, is the disk."""
    folder = tmp_path / "whole"
    _, done = recorded(warm, folder, tmp_path / "record")
    disk = harness.Disk(root=str(folder))
    for operation in done:
        disk.do(*operation)
    files = {name: bytes(disk.files[inode]) for name, inode in disk.names.items() if inode > 0}
    found = {str(path): path.read_bytes() for path in (folder / ".lichen").rglob("*") if path.is_file()}
    assert len(found) > 10
    wrong = [name for name in found if not name.endswith("-shm") and files.get(name) != found[name]]
    assert wrong == []


def test_a_finished_step_outlives_a_power_loss(warm, tmp_path):
    assert list(all_lost(warm, tmp_path, 89)) == []


@pytest.mark.slow
def test_a_finished_step_outlives_a_power_loss_after_any_operation(warm, tmp_path):
    assert list(all_lost(warm, tmp_path, 1 if harness.IS_FULL else 9)) == []


@pytest.mark.parametrize("defect", ["no_blob_sync", "no_folder_sync", "lax_records"])
def test_a_missing_sync_is_seen(warm, tmp_path, defect):
    assert next(all_lost(warm, tmp_path, 9, defects=[defect]), None) is not None
