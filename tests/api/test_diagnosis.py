"""A 401 says what is wrong: the key, or the endpoint that refuses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_klaviyo.api import diagnosis
from airflow_provider_klaviyo.api.calls import find_profiles, get_account, request_profile_deletion
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAuthenticationError,
    KlaviyoKeyError,
    KlaviyoNotFoundError,
)
from airflow_provider_klaviyo.emulator import Emulator

Run = Callable[..., Any]


@pytest.fixture
def ada(emulator: Emulator) -> str:
    return emulator.add_profile("ada@example.com")


def refusal(run: Run, profile_id: str) -> KlaviyoAuthenticationError:
    with pytest.raises(KlaviyoAuthenticationError) as caught:
        run(request_profile_deletion("id", profile_id, patience_seconds=0))
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value


def test_an_endpoint_that_refuses_a_good_key_is_told_from_a_bad_key(emulator: Emulator, run: Run, ada: str) -> None:
    """As from 14 to 16 April 2026: who exists is refused, who does not is not found, and the rest works."""
    emulator.fault("deletion_refused")
    error = refusal(run, ada)
    assert type(error) is KlaviyoAuthenticationError
    assert "The key itself is right: GET /api/accounts knows it" in str(error)
    assert "data-privacy:write" in str(error)
    assert error.error_id is not None
    assert error.error_id in str(error)
    assert (emulator.calls("profile_deletion"), emulator.calls("get_account")) == (1, 1)
    with pytest.raises(KlaviyoNotFoundError):
        run(request_profile_deletion("id", "0" * 26, patience_seconds=0))


def test_a_key_that_is_accepted_nowhere_is_bad(emulator: Emulator, run: Run, ada: str) -> None:
    emulator.fault("key_revoked")
    error = refusal(run, ada)
    assert type(error) is KlaviyoKeyError
    assert "No other endpoint accepts it either" in str(error)
    assert "'Private API key'" in str(error)
    assert (error.status, error.code) == (401, "authentication_failed")
    assert [emulator.calls(name) for name in ("profile_deletion", "get_account", "get_profiles")] == [1, 1, 1]


@pytest.mark.parametrize("fault", [{"name": "key_revoked"}, {"name": "scope_missing", "scope": "accounts:read"}])
def test_one_endpoint_that_knows_the_key_is_enough(
    emulator: Emulator, run: Run, ada: str, fault: dict[str, Any]
) -> None:
    emulator.fault("deletion_refused")
    emulator.fault(**fault, endpoint="get_account")
    error = refusal(run, ada)
    assert type(error) is KlaviyoAuthenticationError
    assert "The key itself is right" in str(error)


@pytest.mark.parametrize("fault", [{"name": "throttled", "retry_after": 60}, {"name": "redirect"}])
def test_what_cannot_be_found_out_is_not_made_up(emulator: Emulator, run: Run, ada: str, fault: dict[str, Any]) -> None:
    emulator.fault("deletion_refused")
    emulator.fault(**fault, endpoint="get_account")
    error = refusal(run, ada)
    assert type(error) is KlaviyoAuthenticationError
    assert "could not be found out, because GET /api/accounts" in str(error)


def test_an_endpoint_is_not_its_own_witness(emulator: Emulator, run: Run) -> None:
    emulator.fault("key_revoked", endpoint="get_account")
    with pytest.raises(KlaviyoAuthenticationError, match="GET /api/profiles knows it"):
        run(get_account(patience_seconds=0))
    emulator.fault("key_revoked", endpoint="get_profiles")
    for call in (get_account(patience_seconds=0), find_profiles("id", ["0" * 26], patience_seconds=0)):
        with pytest.raises(KlaviyoKeyError):
            run(call)
    assert emulator.calls("get_account") == 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [401, 403])
def test_refusals_in_html_say_nothing_about_the_key(emulator: Emulator, run: Run, ada: str, status: int) -> None:
    emulator.fault("server_error_html", status=status, times=5)
    run(request_profile_deletion("id", ada))
    assert emulator.deletion_requests == [ada]
    assert emulator.calls("get_account") == 0, "there was nothing to be explained"


@pytest.mark.parametrize("status", [200, 401, 403])
def test_a_witness_in_html_is_none(emulator: Emulator, run: Run, ada: str, status: int) -> None:
    emulator.fault("deletion_refused")
    emulator.fault("server_error_html", status=status, endpoint="get_account")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnosis, "PATIENCE_SECONDS", 0.0)
        error = refusal(run, ada)
    assert type(error) is KlaviyoAuthenticationError
    assert "could not be found out, because GET /api/accounts" in str(error)
