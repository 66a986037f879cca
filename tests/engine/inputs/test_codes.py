"""test_codes: a generator makes the class that was asked for, whatever signs its name has."""

import numpy as np
import pytest

from lichen.core.errors import DataError
from lichen.engine.inputs import codes

ASSETS = {"labels": ["C", "C#", "F#2"], "num_codes": 4, "image_shape": [1, 1, 5]}
NO_NUMBER = codes.of_rows(np.array([0]), np.array([0]), 4)[0, 0, 0, 1:]
SEVENTH = codes.of_rows(np.array([7]), np.array([0]), 4)[0, 0, 0, 1:]


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [("C", 0, NO_NUMBER), ("C#7", 0, SEVENTH), ("C#", 1, NO_NUMBER), ("C##7", 1, SEVENTH),
     ("F#2", 2, NO_NUMBER), ("F#2#7", 2, SEVENTH)],
)  # fmt: skip
def test_a_class_is_read_whole_before_its_number(text, place, code):
    found = codes.decoded(text, "input 0", ASSETS)[0, 0]
    assert found[0] == place and np.array_equal(found[1:], code)


@pytest.mark.parametrize("text", ["D", "C#x", "D#7", "#7", ""])
def test_what_is_no_class_is_refused(text):
    with pytest.raises(DataError, match="must be a class"):
        codes.decoded(text, "input 0", ASSETS)
