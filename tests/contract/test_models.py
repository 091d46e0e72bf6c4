"""Every registered model keeps every rule of the contract."""

import pytest

from polyrec.models import names
from polyrec.testing import CHECKS, Subject


@pytest.mark.parametrize("rule", CHECKS)
@pytest.mark.parametrize("model", names())
def test_every_registered_model_keeps_the_contract(model, rule):
    CHECKS[rule](Subject.of(model))
