"""Every test of this folder begins without keys in memory."""

from __future__ import annotations

import pytest

from audit.encryption import keys


@pytest.fixture(autouse=True)
def _no_keys_in_memory():
    keys.forget_everything()
    yield
    keys.forget_everything()
