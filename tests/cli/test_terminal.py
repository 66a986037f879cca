"""test_terminal: rows stand under their heads, and figures say no more and no less than they know."""

import io

import pytest

from lichen.cli import terminal

ROW = {"step": "pretrain.adopt", "metric": "bits_per_byte", "value": 2.2443, "low": 2.1705, "high": 2.3077,
       "num_params": 162_800_000, "size_bytes": 651_300_000, "latency_ms": 6940.62, "throughput": 0.144,
       "is_busy": True, "seconds": 1258.0}  # fmt: skip


@pytest.mark.parametrize("fast", [{}, {"latency_ms": 0.25, "throughput": 21_840.0, "seconds": 0.5}])
def test_a_row_of_long_figures_stands_under_its_head(fast):
    head, row = terminal.life_head(), terminal.life_row({**ROW, **fast})
    assert len(head) == len(row) <= 118
    cut = row
    for width in terminal.WIDTHS:
        assert not cut[width : width + 2].strip()
        cut = cut[width + 2 :]
    assert not cut


def test_slow_models_are_told_apart():
    assert "6.94 s" in terminal.life_row(ROW) and "0.14~" in terminal.life_row(ROW)


def test_what_has_no_numbers_says_what_it_holds():
    told = {"step": "prepare.bpe", "num_params": 0, "facts": "holds tokenizer", "seconds": 0.8}
    row = terminal.life_row(told)
    assert "holds tokenizer" in row and "0 B" not in row and len(row) == len(terminal.life_head())


def test_the_last_seconds_are_not_counted():
    stream = io.StringIO()
    progress = terminal.Progress(stream, every_s=0.0)
    for done in (1, 99):
        progress({"kind": "progress", "step": "adapt.prompt", "key": "k", "done": done, "total": 100})
    assert stream.getvalue().endswith("seconds left\n")
