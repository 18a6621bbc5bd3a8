"""Plots are valid SVG, drawn within their bounds."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks.harness.plot import Bar, Chart, bar_chart, line_charts

NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def size(picture: ET.Element) -> tuple[float, float]:
    return float(picture.attrib["width"]), float(picture.attrib["height"])


@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 0.0), (60.0, 0.0)],
        [(0.0, 3.0)],
        [(0.0, 0.001), (1.0, 0.004)],
        [(5.0, 7e6), (6.0, 99.0), (7.0, 1e7)],
    ],
)
def test_line_stays_within_its_chart(points: list[tuple[float, float]]) -> None:
    picture = ET.fromstring(line_charts("Title", [Chart("one", points)]))
    lines = picture.findall(".//svg:polyline", NAMESPACE)
    assert len(lines) == 1
    for x, y in re.findall(r"([\d.-]+),([\d.-]+)", lines[0].attrib["points"]):
        assert 0 <= float(x) <= 420
        assert 0 <= float(y) <= 150


def test_higher_value_is_drawn_higher() -> None:
    picture = ET.fromstring(line_charts("Title", [Chart("one", [(0, 1), (1, 2)])]))
    line = picture.find(".//svg:polyline", NAMESPACE)
    assert line is not None
    (low, high) = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
    assert high < low


def test_empty_chart_says_so() -> None:
    assert "nothing measured" in line_charts("Title", [Chart("one", [])])


def test_bar_lengths_are_proportional_to_values() -> None:
    bars = [Bar("small", 10, "10/s"), Bar("large", 40, "40/s", color=1)]
    picture = ET.fromstring(bar_chart("Title", bars))
    small, large = [float(bar.attrib["width"]) for bar in picture.findall("svg:rect", NAMESPACE)[1:]]
    assert large == pytest.approx(4 * small, abs=0.5)
    assert large < size(picture)[0]


def test_text_is_escaped() -> None:
    picture = ET.fromstring(bar_chart("a < b & c", [Bar("<x>", 1, "&")]))
    assert [text.text for text in picture.findall("svg:text", NAMESPACE)] == ["a < b & c", "<x>", "&"]
