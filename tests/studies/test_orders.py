"""orders: the same demonstrations in other orders, their spread, and what they are worth, with intervals."""

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.core.errors import UsageError
from lichen.report import findings, page, prompting


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    rows = [f"{('moss', 'stone', 'rain', 'wet')[row % 4]} number {row} <b>" for row in range(80)]
    data = li.texts(rows, np.arange(80) % 2, labels=["dry", "wet"])
    with session.opened(tmp_path_factory.mktemp("store") / ".lichen") as opened:
        corpus = li.texts(rows)
        teller = li.prepare.bpe(corpus, size=260)
        speaker = li.pretrain.language(
            corpus, teller, net_options={"depth": 1, "width": 16, "num_heads": 1}, max_tokens=250, steps=2
        )
        made = li.adapt.prompt(speaker, data, max_tokens=16, search={"shots": [3], "template": ["was"]})
        yield opened, speaker, data, made


def test_every_order_is_scored_on_the_same_rows(life):
    _, speaker, data, made = life
    found = li.studies.orders(made, data, orders=4)
    values = []
    for number in range(4):
        one = li.adapt.prompt(speaker, data, max_tokens=16, shots=3, template="was", order=number)
        values.append(li.evaluate(one, data).value)
    none = li.adapt.prompt(speaker, data, max_tokens=16, shots=0, template="was")
    assert [one.value for one in found.orders] == values
    assert found.spread == pytest.approx(np.std(values, ddof=1)) and found.mean == pytest.approx(
        np.mean(values)
    )
    assert found.none == li.evaluate(none, data).value
    assert found.worth == pytest.approx(found.mean - found.none, abs=1e-9)
    assert found.low <= found.mean <= found.high and found.worth_low <= found.worth <= found.worth_high
    assert "over 4 orders of the same 3 demonstrations" in str(found)


def test_the_report_says_what_was_asked_and_how_much_orders_decide(life):
    opened, _, data, made = life
    li.evaluate(made, data)
    found = li.studies.orders(made, data, orders=2)
    opened.events.emit("study", study="orders", digest=made.digest, found=found.as_json())
    gathered = findings.gather(made, opened)
    text = str(prompting.prompting(gathered))
    assert "3 train rows are shown" in text and "{text} It was {label}." not in text and "was" in text
    assert "&lt;b&gt;" in text and "<b>" not in text.replace("<b class", "")
    assert "In other orders" in text and found.verdict in text
    assert 'id="prompt"' in page.html(gathered)


def test_what_has_no_orders_is_named(life):
    _, speaker, data, made = life
    with pytest.raises(UsageError, match="two orders at least"):
        li.studies.orders(made, data, orders=1)
    for options in ({"shots": 1}, {"shots": 3, "choice": "nearest"}):
        with pytest.raises(UsageError, match="to stand in other orders"):
            li.studies.orders(li.adapt.prompt(speaker, data, max_tokens=16, **options), data)
    with pytest.raises(UsageError, match="has no `adapt.prompt`"):
        li.studies.orders(speaker, data)
