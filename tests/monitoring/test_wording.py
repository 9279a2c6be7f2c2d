"""Numbers and sentences as people read them."""

from __future__ import annotations

import pytest

from monitoring.performance import percentile
from monitoring.templatetags.units import as_percent, iso_time, raw, utc_time, with_unit
from monitoring.wording import number


@pytest.mark.parametrize(
    ("value", "unit", "wanted"),
    [
        (1.984e9, "J", "1.984 GJ"),
        (-1.984e35, "J", "−1.984×10³⁵ J"),
        (999.96, "J", "1.000 kJ"),
        (3.1e-9, "J", "3.100 nJ"),
        (0, "J", "0 J"),
        (2.5e20, "kg·m/s", "2.500×10²⁰ kg·m/s"),
        (None, "J", "–"),
        (float("nan"), "J", "–"),
        ("", "J", "–"),
    ],
)
def test_numbers_with_units(value, unit, wanted):
    assert with_unit(value, unit).replace("\u202f", " ") == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [(3.14e-9, "3.1×10⁻⁹"), (-2e7, "−2.0×10⁷"), (0.25, "0.25"), (1234.5, "1,234"), (0, "0")],
)
def test_numbers_in_sentences(value, wanted):
    assert number(value) == wanted


def test_what_javascript_and_time_elements_read():
    assert (raw(1e-9), raw(None), raw("")) == ("1e-09", "", "")
    assert as_percent(0.1234).replace("\u202f", " ") == "12.3 %"
    assert iso_time(1_772_366_400_000) == "2026-03-01T12:00:00Z"
    assert utc_time(1_772_366_400_000) == "1 Mar 2026, 12:00:00 UTC"
    assert (iso_time(None), utc_time(None)) == ("", "–")


def test_percentiles_by_nearest_rank():
    assert percentile([], 0.5) is None
    assert percentile([7.0], 0.95) == 7.0
    assert [percentile([1.0, 2.0, 3.0, 4.0], p) for p in (0.25, 0.5, 0.95)] == [1.0, 2.0, 4.0]
