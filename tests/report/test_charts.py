"""test_charts: ticks are round, points inside the frame, names apart, colours told apart."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from lichen.report import axis, bars, charts, labels, style
from lichen.report.charts import Point, Series
from lichen.report.svg import WIDTH

RNG = np.random.Generator(np.random.Philox(3))
RANGES = [
    (0.0, 1.0),
    (0.9689, 1.0),
    (-0.18, 0.13),
    (1e-7, 3e-7),
    (120.0, 131.0),
    (0.0, 3e9),
    (-5.0, -4.9),
    *(tuple(sorted(pair)) for pair in RNG.normal(size=(20, 2)) * 10.0 ** RNG.integers(-6, 7, (20, 1))),
]


@pytest.mark.parametrize("low, high", RANGES)
def test_ticks_are_round_and_inside(low, high):
    found = axis.ticks(low, high)
    room = (high - low) * 1e-6
    assert 2 <= len(found) <= 7 and all(low - room <= tick <= high + room for tick in found)
    step = found[1] - found[0]
    mantissa = step / 10 ** np.floor(np.log10(step) + 1e-6)
    assert min(abs(mantissa - nice) for nice in (1, 2, 5, 10)) < 1e-3
    assert len(set(axis.tick_texts(found))) == len(found)


@pytest.mark.parametrize("low, high", [(0.02, 0.5), (1e-5, 3.0), (175.0, 9e6), (3.0, 40.0), (1e-9, 1e9)])
def test_logarithmic_ticks_are_inside_and_told_apart(low, high):
    found = axis.log_ticks(low, high)
    assert len(found) >= 2 and all(low <= tick <= high for tick in found)
    assert len(set(axis.log_texts(found))) == len(found)


def test_a_scale_takes_its_ends_to_the_frame():
    for is_log in (False, True):
        scale = axis.Scale(low=1.0, high=100.0, start=40.0, end=400.0, is_log=is_log)
        assert (scale(1.0), scale(100.0)) == pytest.approx((40.0, 400.0))
    assert scale(10.0) == pytest.approx(220.0)


def test_one_value_alone_has_a_scale():
    for value in (0.0, 1.0, -3.0, 1e9):
        scale = axis.scale_of([value], 0.0, 100.0)
        assert 0 < scale(value) < 100 and scale.ticks()


def numbers(svg):
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox").split())
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter("circle")]
    words = [(float(text.get("x")), float(text.get("y"))) for text in root.iter("text")]
    ends = [
        tuple(map(float, pair))
        for path in root.iter("path")
        for pair in re.findall(r"([-\d.]+) ([-\d.]+)", path.get("d", ""))
    ]
    return width, height, dots, words, ends


DRAWN = {
    "lines": lambda: charts.lines(
        "t",
        [Series(name="a", points=((1, 2.0), (2, 0.001))), Series(name="b", points=((1, 1.0),))],
        x_name="epoch",
        may_be_log=True,
    ),
    "scatter": lambda: charts.scatter(
        "t",
        [Point(name=f"step {n}", x=10.0**n, y=n / 9, low=n / 10, high=n / 8) for n in range(1, 8)],
        x_name="ms",
    ),
    "intervals": lambda: bars.intervals(
        "t", [bars.Span(name="compress.quantize", value=-0.1, low=-0.3, high=0.1)], x_name="worth"
    ),
    "reliability": lambda: charts.reliability("t", [(0.0, 1.0, 3), (1.0, 0.0, 900)]),
    "columns": lambda: bars.columns("t", ["a", "b" * 40], [("train", [3, 0]), ("validation", [1, 9000])]),
    "heat": lambda: bars.heat("t", [[3, 0], [1, 9000]], ["a", "b" * 40]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_everything_drawn_is_inside_the_frame(name):
    width, height, dots, words, ends = numbers(DRAWN[name]())
    for x, y in [*dots, *words, *ends]:
        assert -0.01 <= x <= width + 0.01 and -0.01 <= y <= height + 0.01


@pytest.mark.parametrize("name", DRAWN)
def test_every_chart_has_words_and_stays_text(name):
    root = ElementTree.fromstring(DRAWN[name]())
    assert root.get("role") == "img" and root.get("aria-label") and root.find("title").text


def test_markup_in_a_name_stays_text():
    svg = bars.heat("<script>", [[1, 0], [0, 1]], ["<script>a", "</svg>b"])
    assert "<script" not in svg and "</svg>b" not in svg


@pytest.mark.parametrize("seed", range(12))
def test_names_of_points_do_not_overlap(seed):
    draws = np.random.Generator(np.random.Philox(seed))
    points = [tuple(pair) for pair in draws.uniform((60, 20), (400, 200), (9, 2))]
    frame = labels.Box(40, 10, WIDTH, 230)
    found = labels.place(
        points, ["quantize", "train", "prune", "export", "finetune", "distill", "a", "b", "c"], frame
    )
    boxes = [box for box in found if box is not None]
    assert len(boxes) >= 8 and all(frame.holds(box) for box in boxes)
    assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))


def test_equal_points_have_names_apart():
    found = labels.place([(200.0, 100.0)] * 5, ["same"] * 5, labels.Box(0, 0, 440, 270))
    assert None not in found and not any(a.meets(b) for a, b in itertools.combinations(found, 2))


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return np.array(linear)


def contrast(one, other):
    """WCAG 2.2 contrast ratio of linear colours."""
    bright, dark = sorted((float(c @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def over(paper, colour, opacity):
    mixed = [
        round((1 - opacity) * int(paper[i : i + 2], 16) + opacity * int(colour[i : i + 2], 16))
        for i in (1, 3, 5)
    ]
    return "#" + "".join(f"{value:02x}" for value in mixed)


@pytest.mark.parametrize("theme", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_text_and_lines_pass_contrast(theme):
    paper = luminance(theme["paper"])
    for name in ("ink", "soft", "accent", "good", "bad"):
        assert contrast(luminance(theme[name]), paper) >= 4.5, name
    for name in ("s0", "s1", "s2", "s3"):
        assert contrast(luminance(theme[name]), paper) >= 3.0, name
    strongest = over(theme["paper"], theme["heat"], bars.STRONGEST)
    assert contrast(luminance(theme["ink"]), luminance(strongest)) >= 4.5


MACHADO = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
"""Severity 1.0 of Machado, Oliveira and Fernandes 2009, on linear colours."""


def lab(linear):
    """CIE L*a*b* under D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(
        linear, 0, 1
    )
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 1e-4))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", MACHADO)
@pytest.mark.parametrize("theme", [style.LIGHT, style.DARK], ids=["light", "dark"])
def test_line_colours_are_told_apart_by_the_colour_blind(theme, kind):
    seen = [lab(np.array(MACHADO[kind]) @ luminance(theme[name])) for name in ("s0", "s1", "s2")]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 20
