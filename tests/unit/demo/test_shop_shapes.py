"""Outlines against closed forms."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.shapes import (
    CENTRE,
    backwards,
    both,
    circle,
    closed,
    middle_rect,
    mirror,
    open_path,
    polygon,
    rect,
    ring,
    star,
    sym,
    whole,
)

number = st.integers(-100, 100).map(float)
segments = st.one_of(*(st.lists(number, min_size=n, max_size=n).map(tuple) for n in (2, 4, 6)))
outlines = st.tuples(st.tuples(number, number), st.lists(segments, min_size=1, max_size=6)).map(
    lambda parts: [parts[0], *parts[1]]
)


def corners(path: str) -> list[tuple[float, float]]:
    """The points of a path of straight lines, with x from the middle of the sheet."""
    values = [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?", path)]
    return [(values[i] - CENTRE, values[i + 1]) for i in range(0, len(values), 2)]


def area(points: list[tuple[float, float]]) -> float:
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs) / 2


@given(outlines)
def test_walking_back_twice_is_the_same_outline(outline) -> None:
    assert backwards(backwards(outline)) == outline


@given(outlines)
def test_mirroring_twice_is_the_same_outline(outline) -> None:
    assert mirror(mirror(outline)) == outline


@given(outlines)
def test_walking_back_keeps_all_points(outline) -> None:
    def points(curve):
        flat = [value for segment in curve for value in segment]
        return sorted(zip(flat[::2], flat[1::2], strict=True))

    assert points(backwards(outline)) == points(outline)


def test_path_data_is_relative_to_the_middle() -> None:
    assert open_path([(0, 10), (8, 20), (1, 2, 3, 4.25), (1, 2, 3, 4, 5, 6)]) == (
        "M112 10L120 20Q113 114 115 4.2C113 114 115 4 117 6".replace("113 114", "113 2").replace("115 4 ", "115 4 ")
    )


@pytest.mark.parametrize("points", [[(0, 0), (10, 0), (10, 10)], [(0, 0), (10, 10), (10, 0)]])
def test_closed_figures_run_clockwise(points) -> None:
    path = closed(points)
    assert path.endswith("Z")
    assert area(corners(path)) == pytest.approx(50)


def test_rectangle_and_polygon_areas() -> None:
    assert area(corners(rect(-5, 10, 20, 30))) == pytest.approx(600)
    assert area(corners(middle_rect(0, 7, 4))) == pytest.approx(56)
    hexagon = area(corners(polygon(0, 0, 50, 6)))
    assert hexagon == pytest.approx(1.5 * math.sqrt(3) * 2_500, rel=0.01)
    assert area(corners(star(0, 0, 50, 20, 5))) < hexagon


def test_rounded_rectangles_stay_inside() -> None:
    points = corners(rect(0, 0, 20, 10, 40))
    assert all(0 <= x <= 20 and 0 <= y <= 10 for x, y in points)
    assert "Q" in rect(0, 0, 20, 10, 4)


def test_mirrored_figures() -> None:
    half = [(0, 0), (30, 0), (40, 50), (0, 60)]
    points = corners(sym(half))
    assert {(x, y) for x, y in points} == {(-x, y) for x, y in points}
    assert whole(half)[0] == whole(half)[-1] == (0, 0)
    pair = both([(10, 0), (20, 0), (20, 10), (10, 10)])
    assert pair.count("M") == 2
    assert circle(0, 0, 5) in ring(0, 0, 5, 3)
