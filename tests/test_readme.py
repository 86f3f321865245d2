"""The README says what is true."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_klaviyo.api import errors
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.get_provider_info import get_provider_info
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()


def test_its_example_is_the_file() -> None:
    match = re.search(r"<!-- example: (\S+) -->\n```python\n(.*?)```", README, re.DOTALL)
    assert match is not None
    assert match[2] == (REPOSITORY / match[1]).read_text()


def test_its_connection_fields_are_those_of_the_form() -> None:
    connection_type = get_provider_info()["connection-types"][0]
    for name, field in connection_type["conn-fields"].items():
        assert f"| {field['label']} (`{name}`) |" in README
    for name, label in connection_type["ui-field-behaviour"]["relabeling"].items():
        assert f"| {label} ({name}) |" in README


def test_its_scopes_are_those_of_the_endpoints() -> None:
    for endpoint in ENDPOINTS.values():
        for scope in endpoint.scopes:
            assert f"`{scope}`" in README


@pytest.mark.parametrize("name", ["max_profiles", "max_profiles_per_identifier", "dry_run"])
def test_its_defaults_are_those_of_the_operator(name: str) -> None:
    default = inspect.signature(ProfileDeletionOperator.__init__).parameters[name].default
    shown = f"{default:,}" if type(default) is int else f"`{default}`"
    assert f"| `{name}` | {shown} |" in README


def test_it_names_every_error_and_every_outcome_there_is() -> None:
    families = {"KlaviyoRefusedError", "KlaviyoUnavailableError"}
    for name in errors.__all__:
        if name.endswith("Error") and name not in families:
            assert f"`{name}" in README, name
    for outcome in Outcome:
        assert f"`{outcome}`" in README


if AIRFLOW_V_3_0_PLUS:  # Not everything is killed on an older one.

    def test_each_test_that_it_calls_a_proof_is_there() -> None:
        proofs = set(re.findall(r"`(tests/[a-z_/]+\.py::[^`]+)`", README))
        assert len(proofs) > 10
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", "", *proofs]
        collected = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert collected.returncode == 0, collected.stdout + collected.stderr
