"""No address and no key is in any log, at any level, nor in the repr of anything."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_klaviyo.api.calls import Found, find_profiles, get_account, request_profile_deletion
from airflow_provider_klaviyo.api.errors import KlaviyoError
from airflow_provider_klaviyo.api.resources import Profile, deletion_request, profiles_request
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.api.wire import Answer, Page
from airflow_provider_klaviyo.emulator import Emulator

Run = Callable[..., Any]

ADDRESS = "ada.canary+tag@example.com"
PHONE_NUMBER = "+15005550001"
EXTERNAL_ID = "canary-customer"


def assert_nobody_is_named(text: str, key: str = "pk_") -> None:
    assert key not in text
    for personal in (ADDRESS, PHONE_NUMBER, EXTERNAL_ID, "canary", "15005550001"):
        assert personal not in text
        assert quote(personal) not in text


def everything_logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records)


@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"name": "throttled_with_retry_after_zero", "times": 1},
        {"name": "server_error_html"},
        {"name": "connection_dropped_after"},
        {"name": "truncated_json"},
        {"name": "foreign_next_link", "times": 1},
        {"name": "key_revoked"},
    ],
)
def test_no_log_at_debug_level_shows_an_address_or_the_key(
    emulator: Emulator, settings: Settings, run: Run, caplog: pytest.LogCaptureFixture, fault: dict[str, Any] | None
) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.add_profile(ADDRESS, PHONE_NUMBER, EXTERNAL_ID)
    if fault is not None:
        emulator.fault(**fault)
    for talk in (
        find_profiles("email", [ADDRESS], patience_seconds=0),
        find_profiles("phone_number", [PHONE_NUMBER], patience_seconds=0),
        find_profiles("external_id", [EXTERNAL_ID], patience_seconds=0),
        request_profile_deletion("email", ADDRESS, patience_seconds=0),
        request_profile_deletion("email", f"no.{ADDRESS}", patience_seconds=0),
        request_profile_deletion("phone_number", PHONE_NUMBER, patience_seconds=0),
        get_account(patience_seconds=0),
    ):
        try:
            run(talk)
        except KlaviyoError as error:
            assert_nobody_is_named(f"{error!r} {vars(error)} {error.__cause__!r}", settings.api_key)
    logged = everything_logged(caplog)
    assert "httpcore.http11" in {record.name for record in caplog.records}, "the loggers are heard"
    assert_nobody_is_named(logged, settings.api_key)


def test_the_query_is_on_the_wire_all_the_same(run: Run) -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.query)
        return httpx.Response(200, json={"data": []})

    run(find_profiles("email", [ADDRESS]), answer)
    assert b"ada.canary%2Btag%40example.com" in seen[0]


@pytest.mark.parametrize(
    "thing",
    [
        deletion_request("email", ADDRESS),
        profiles_request("email", [ADDRESS], ADDRESS),
        Answer(404, {"location": ADDRESS}, json.dumps({"detail": ADDRESS}).encode()),
        Profile("01H", ADDRESS, PHONE_NUMBER, EXTERNAL_ID),
        Page((Profile("01H", ADDRESS),), next_cursor=ADDRESS),
        Found((Profile("01H", ADDRESS),), refused=(ADDRESS,)),
        Settings(api_key="pk_canary"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_a_repr_shows_nobody(thing: object) -> None:
    assert_nobody_is_named(repr(thing))
    assert_nobody_is_named(str(thing))


def test_a_quota_is_not_named_by_its_key() -> None:
    settings = Settings(api_key="pk_canary")
    assert_nobody_is_named(settings.quota + settings.key_digest)
