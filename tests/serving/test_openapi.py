"""Requests that schemathesis makes of the service's own description, fit and unfit: none is answered by a fault."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

OPERATIONS = [("/score", "POST"), ("/recommend", "POST"), ("/reload", "POST"), ("/schema", "GET"), ("/ready", "GET")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_is_answered_by_a_fault(shared_server, path, method, mode):
    described = schemathesis.openapi.from_dict(shared_server.ask("/openapi.json").json)
    statuses = set()

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(described[path][method].as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def check(case):
        answer = case.call(base_url=shared_server.address)
        statuses.add(answer.status_code)
        assert answer.status_code < 500
        if answer.status_code >= 400:
            assert answer.json()["error"]

    if mode == "negative" and method == "GET":
        pytest.skip("a request without parts cannot be unfit")
    check()
    assert statuses
    if (mode, method) == ("positive", "GET"):
        assert statuses == {200}
