"""Settings are right, or refused in words that name the field."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_provider_klaviyo.api.endpoints import GET_PROFILES, PROFILE_DELETION
from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.api.settings import Settings, is_loopback


@pytest.mark.parametrize(
    "base_url",
    [
        "https://a.klaviyo.com",
        "https://a.klaviyo.com/",
        "HTTPS://A.KLAVIYO.COM",
        "https://proxy_1.example.com:8443",
        "http://localhost:8080",
        "http://127.0.0.1:1",
        "http://[::1]:8080",
    ],
)
def test_a_plain_address_is_taken(base_url: str) -> None:
    assert Settings(api_key="pk_x", base_url=base_url).base_url == base_url


@pytest.mark.parametrize(
    ("base_url", "complaint"),
    [
        ("", "plain address"),
        ("a.klaviyo.com", "plain address"),
        ("https://", "plain address"),
        ("https://user@a.klaviyo.com", "plain address"),
        ("https://:secret@a.klaviyo.com", "plain address"),
        ("https://@a.klaviyo.com", "plain address"),
        ("https://a.klaviyo.com/api", "plain address"),
        ("https://a.klaviyo.com?x=1", "plain address"),
        ("https://a.klaviyo.com?", "plain address"),
        ("https://a.klaviyo.com#x", "plain address"),
        ("https://a.klaviyo.com:99999", "plain address"),
        ("https://a.klaviyo.com:port", "plain address"),
        ("https://a.klav\niyo.com", "plain address"),
        ("https://a klaviyo.com", "plain address"),
        ("https://\uff41.klaviyo.com", "plain address"),
        ("https://[a.klaviyo.com", "plain address"),
        ("http://a.klaviyo.com", "over https"),
        ("http://10.0.0.1", "over https"),
        ("http://localhost.example.com", "over https"),
        ("//a.klaviyo.com", "over https"),
        ("ftp://a.klaviyo.com", "over https"),
    ],
)
def test_an_address_that_would_give_the_key_away_is_refused(base_url: str, complaint: str) -> None:
    with pytest.raises(KlaviyoConfigurationError, match=complaint) as caught:
        Settings(api_key="pk_x", base_url=base_url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("api_key", ["", " ", "pk x", "pk_x\n", "pk_ä", "pk_x\r\nHost: elsewhere"])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(api_key: str) -> None:
    with pytest.raises(KlaviyoConfigurationError, match="the API key is empty or has white space") as caught:
        Settings(api_key=api_key)
    assert "pk" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("revision", "latest", "revision must look like"),
        ("revision", "2026-07-15\r\nx: y", "revision must look like"),
        ("utilisation", 0, "utilisation must be above 0"),
        ("utilisation", 1.01, "utilisation must be above 0"),
        ("utilisation", -1, "utilisation must be above 0"),
        ("utilisation", math.nan, "utilisation must be above 0"),
        ("timeout_seconds", 0, "timeout must be"),
        ("timeout_seconds", 601, "timeout must be"),
        ("timeout_seconds", math.nan, "timeout must be"),
        ("limits", {"deletion": Limit(3, 60)}, "no endpoint 'deletion'; known are profile_deletion"),
        ("limits", {"get_profiles": Limit(0, 60)}, "burst and steady of get_profiles"),
        ("limits", {"get_profiles": Limit(3, -1)}, "burst and steady of get_profiles"),
        ("limits", {"get_profiles": Limit(3, math.nan)}, "burst and steady of get_profiles"),
        ("limits", {"get_profiles": Limit(math.inf, math.inf)}, "burst and steady of get_profiles"),
    ],
)
def test_a_number_that_would_undo_the_pace_is_refused(field: str, value: Any, complaint: str) -> None:
    with pytest.raises(KlaviyoConfigurationError, match=complaint):
        Settings(api_key="pk_x", **{field: value})


def test_a_thousand_deletions_take_seventeen_minutes() -> None:
    seconds = 1_000 * Settings(api_key="pk_x").interval_seconds(PROFILE_DELETION)
    assert round(seconds / 60) == 17


def test_limits_of_the_connection_replace_the_documented_ones() -> None:
    settings = Settings(api_key="pk_x", utilisation=1, limits={"profile_deletion": Limit(10, 120)})
    assert settings.interval_seconds(PROFILE_DELETION) == 0.5
    assert settings.interval_seconds(GET_PROFILES) == 0.08


def test_keys_of_one_account_share_a_quota() -> None:
    one, other = (Settings(api_key=key, account_id="AbC123") for key in ("pk_1", "pk_2"))
    assert one.quota == other.quota


def test_keys_of_unknown_accounts_do_not() -> None:
    assert Settings(api_key="pk_1").quota != Settings(api_key="pk_2").quota
    assert Settings(api_key="pk_1").quota == Settings(api_key="pk_1").quota


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.2", True), ("::1", True), ("example.com", False), ("0.0.0.0", False)],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
