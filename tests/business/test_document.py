"""The reference page says what the code computes."""

import json
import re

import pytest

from business import roi
from tests.business.document import PAGE, written


def test_the_page_is_the_one_that_the_code_writes():
    """Mend it with ``python -m tests.business.document``."""
    page = PAGE.read_text()
    assert written(page) == page


def test_the_example_of_the_page_is_a_scenario():
    (example,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    scenario = roi.read_scenario(json.loads(example))
    assert roi.value_scenario(scenario).measures is not None
    assert roi.simulate(scenario, trials=1000).npv.std() > 0


@pytest.mark.parametrize("formula", roi.FORMULAS, ids=lambda formula: formula.key)
def test_each_formula_has_a_source(formula):
    assert formula.text
    assert formula.source
