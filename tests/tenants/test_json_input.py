"""JSON from outside is bounded before it is read."""

from __future__ import annotations

import pytest

from tenants.json_input import NotThisJSON, read_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        ('"[[[[\\"[[["', '[[[["[[['),
        ("[[[[]]]]", [[[[]]]]),
        ("[[],[],[],[],[]]", [[], [], [], [], []]),
    ],
)
def test_reads_what_is_within_the_bounds(text, value):
    assert read_json(text, length_max=100, depth_max=4) == value


@pytest.mark.parametrize(
    "text", ["", "[", "nope", "[[[[[]]]]]", "[" * 99, '{"a":' * 9, " " * 101, "]" * 9 + "[" * 14]
)
def test_refuses_the_rest_with_a_sentence(text):
    with pytest.raises(NotThisJSON, match="JSON"):
        read_json(text, length_max=100, depth_max=4)
