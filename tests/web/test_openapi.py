"""Whatever the description of the service permits, and whatever it does not: no request makes it fail."""

from __future__ import annotations

import pytest
import requests

hypothesis = pytest.importorskip("hypothesis")
schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 12  # of each path


MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_no_request_makes_the_service_fail(service, mode):
    described = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    tried = set()
    for result in described.get_all_operations():
        operation = result.ok()
        if mode is schemathesis.GenerationMode.NEGATIVE and operation.method == "get":
            continue  # without a parameter there is nothing to do wrong

        @hypothesis.given(operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )  # fmt: skip
        def no_fault(case):
            response = case.call(base_url=service.url, timeout=30)
            assert response.status_code < 500, response.text
            tried.add(case.path)

        no_fault()
    assert tried >= {"/process_audio", "/api/predict", "/api/analyze"}
    assert requests.get(f"{service.url}/health", timeout=10).status_code == 200
