"""A connection is read as it is filled in; a half-filled one says which field to fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.api.settings import Settings

Connection = Callable[..., str]
Read = Callable[[str], Settings]

KEY = "pk_canary_key"


def test_a_key_is_all_that_is_needed(connection: Connection, read: Read) -> None:
    assert read(connection(password=KEY)) == Settings(api_key=KEY)


def test_every_field_is_read(connection: Connection, read: Read) -> None:
    extra = {
        "account_id": " AbC123 ",
        "utilisation": 0.5,
        "revision": "2026-04-15",
        "timeout": 7,
        "limits": {"profile_deletion": {"burst": 10, "steady": 120}},
    }
    assert read(connection(password=f" {KEY} ", host="https://proxy.example.com/", extra=extra)) == Settings(
        api_key=KEY,
        base_url="https://proxy.example.com",
        account_id="AbC123",
        utilisation=0.5,
        revision="2026-04-15",
        timeout_seconds=7,
        limits={"profile_deletion": Limit(10, 120)},
    )


def test_a_form_sends_numbers_and_json_as_text(connection: Connection, read: Read) -> None:
    extra = {"utilisation": "0.5", "timeout": " 7 ", "limits": '{"get_profiles": {"burst": "10", "steady": "120"}}'}
    settings = read(connection(password=KEY, extra=extra))
    assert (settings.utilisation, settings.timeout_seconds) == (0.5, 7)
    assert settings.limits == {"get_profiles": Limit(10, 120)}


@pytest.mark.parametrize("empty", ["", None])
def test_a_form_sends_empty_fields(connection: Connection, read: Read, empty: str | None) -> None:
    extra = dict.fromkeys(["account_id", "utilisation", "revision", "timeout", "limits"], empty)
    assert read(connection(password=KEY, host="", extra=extra)) == Settings(api_key=KEY)


@pytest.mark.parametrize(
    ("host", "port", "base_url"),
    [
        ("a.klaviyo.com", None, "https://a.klaviyo.com"),
        ("proxy.example.com", 8443, "https://proxy.example.com:8443"),
        ("http://localhost", 8080, "http://localhost:8080"),
        ("http://127.0.0.1:8080/", None, "http://127.0.0.1:8080"),
    ],
)
def test_the_host_may_come_in_parts(
    connection: Connection, read: Read, host: str, port: int | None, base_url: str
) -> None:
    assert read(connection(password=KEY, host=host, port=port)).base_url == base_url


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"password": None}, r"'Private API key' \(password\) is empty.*data-privacy:write"),
        ({"password": "  "}, r"'Private API key' \(password\) is empty"),
        ({"password": "pk canary"}, "the API key is empty or has white space"),
        ({"host": "http://a.klaviyo.com"}, "the host must be reached over https"),
        ({"host": "http://10.0.0.1:8080"}, "the host must be reached over https"),
        ({"host": "https://a.klaviyo.com/api"}, "the host must be a plain address"),
        ({"host": "https://a.klaviyo.com:1", "port": 2}, "the host must be a plain address"),
        ({"extra": {"utilisation": "abc"}}, r"utilisation must be a number such as 0\.97"),
        ({"extra": {"utilisation": "0,95"}}, r"utilisation must be a number such as 0\.97"),
        ({"extra": {"utilisation": []}}, "utilisation must be a number"),
        ({"extra": {"utilisation": 95}}, "utilisation must be above 0 and at most 1, not 95"),
        ({"extra": {"utilisation": 0}}, "utilisation must be above 0"),
        ({"extra": {"utilisation": "nan"}}, "utilisation must be above 0"),
        ({"extra": {"timeout": "soon"}}, "timeout must be a number"),
        ({"extra": {"timeout": -1}}, "timeout must be"),
        ({"extra": {"revision": "latest"}}, "revision must look like"),
        ({"extra": {"revision": 2026}}, "revision must be text, not int"),
        ({"extra": {"account_id": 123456}}, "account_id must be text, not int"),
        ({"extra": {"limits": "{"}}, "limits must be JSON such as"),
        ({"extra": {"limits": "[]"}}, "limits must be JSON such as"),
        ({"extra": {"limits": 3}}, "limits must be JSON such as"),
        ({"extra": {"extra__other__account_id": "AbC123"}}, "there is no extra field 'extra__other__account_id'"),
        (
            {"extra": {"account-id": "AbC123"}},
            "there is no extra field 'account-id'; known are account_id, fingerprint_key",
        ),
        ({"extra": {"limits": {"get_profiles": 750}}}, "limits must be JSON such as"),
        ({"extra": {"limits": {"get_profiles": {"burst": 3}}}}, "limits must be JSON such as"),
        ({"extra": {"limits": {"get_profiles": {"burst": "x", "steady": 1}}}}, "limits must be JSON such as"),
        ({"extra": {"limits": {"deletions": {"burst": 3, "steady": 60}}}}, "limits: there is no endpoint 'deletions'"),
        ({"extra": {"limits": {"get_profiles": {"burst": 0, "steady": 60}}}}, "burst and steady of get_profiles"),
        ({"extra": {"limits": '{"get_profiles": {"burst": NaN, "steady": NaN}}'}}, "burst and steady of get_profiles"),
        ({"extra": {"limits": '{"get_profiles": {"burst": 1e999, "steady": 1e999}}'}}, "burst and steady"),
    ],
)
def test_a_field_that_cannot_be_is_named(
    connection: Connection, read: Read, fields: dict[str, Any], complaint: str
) -> None:
    conn_id = connection(**{"password": KEY, **fields})
    with pytest.raises(KlaviyoConfigurationError, match=f"^Connection 'shop': .*{complaint}") as caught:
        read(conn_id)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("extra", ["[]", '"AbC123"', "7"])
def test_extra_fields_that_are_no_object_are_refused(connection: Connection, read: Read, extra: str) -> None:
    with pytest.raises(KlaviyoConfigurationError):
        read(connection(password=KEY, extra=extra))


def test_extra_fields_that_cannot_be_read_do_not_lose_the_account_id(connection: Connection, read: Read) -> None:
    """Airflow takes them for empty, and an empty account_id lets every account be worked on."""
    with pytest.raises(KlaviyoConfigurationError):
        read(connection(password=KEY, extra='{"account_id": "AbC123",}'))


def test_a_connection_that_is_missing_says_what_to_create(read: Read) -> None:
    with pytest.raises(
        KlaviyoConfigurationError, match="'no_such_shop' does not exist: create it with the type Klaviyo"
    ):
        read("no_such_shop")


def test_settings_do_not_show_the_key(connection: Connection, read: Read) -> None:
    assert "canary" not in repr(read(connection(password=KEY)))


def test_the_form_of_airflow_2_may_send_each_field_twice(connection: Any, read: Any) -> None:
    extra = {"account_id": "AbC123", "extra__klaviyo__account_id": "AbC123", "extra__klaviyo__utilisation": "0.5"}
    settings = read(connection(password=KEY, extra=extra))
    assert (settings.account_id, settings.utilisation) == ("AbC123", 0.5)


SECRETS = {
    "password": "pk_0123456789abcdef0123456789abcdef01",
    "fingerprint_key": "Canary-Fingerprint_0123456789abcdef",
    "oauth_client_secret": "Canary-Secret_0123456789",
    "oauth_refresh_token": "Canary-Token_0123456789",
}


def filled_in(**more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"password": SECRETS["password"], "extra": {"fingerprint_key": SECRETS["fingerprint_key"]}}
    if more.pop("oauth", False):
        fields["password"] = None
        fields["extra"] |= {name: SECRETS[name] for name in ("oauth_client_secret", "oauth_refresh_token")}
        fields["extra"]["oauth_client_id"] = "an-app"
    fields["extra"] |= more.pop("extra", {})
    return fields | more


@pytest.mark.parametrize("secret", [*SECRETS.values(), "PK_0123456789abcdef", "pk_another_key_0123"])
@pytest.mark.parametrize(
    "field",
    [
        "host",
        "login",
        "schema",
        "account_id",
        "revision",
        "utilisation",
        "timeout",
        "limits",
        "oauth_client_id",
        "oauth_store_conn_id",
        "another",
    ],
)
def test_a_key_in_the_wrong_field_is_refused_and_not_repeated(
    connection: Connection, read: Read, field: str, secret: str
) -> None:
    """The account id is stored, the host is asked for by name, and all of them are in messages."""
    oauth = secret in (SECRETS["oauth_client_secret"], SECRETS["oauth_refresh_token"])
    where = {field: secret} if field in {"host", "login", "schema"} else {"extra": {field: secret}}
    with pytest.raises(KlaviyoConfigurationError, match=field) as caught:
        read(connection(**filled_in(oauth=oauth, **where)))
    assert secret not in str(caught.value)


@pytest.mark.parametrize("key", ["pk_0123456789abcdef", "0123456789abcdef0123456789abcdef01", "Canary-Key_0123"])
def test_a_key_of_elsewhere_is_no_account_id(connection: Connection, read: Read, key: str) -> None:
    with pytest.raises(KlaviyoConfigurationError, match=r"account_id") as caught:
        read(connection(password=KEY, extra={"account_id": key}))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"host": "0123456789abcdef0123456789abcdef"}, "the host must be a plain address"),
        ({"host": "https://Canary-Key_0123456789abcdef0123"}, "the host must be a plain address"),
        ({"extra": {"revision": "0123456789abcdef"}}, "revision must look like"),
        ({"extra": {"pk_0123456789abcdef": ""}}, "no extra field of a name that is not shown"),
        ({"extra": {"limits": {"pk_0123456789abcdef": {"burst": 1, "steady": 1}}}}, "no endpoint of that name"),
    ],
)
def test_what_may_be_a_key_is_not_repeated(
    connection: Connection, read: Read, fields: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(KlaviyoConfigurationError, match=complaint) as caught:
        read(connection(password=KEY, **fields))
    assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize("account_id", ["AbC123", "XyZ4", "0123456789abcdef"])
def test_an_account_id_of_another_length_may_be_one(connection: Connection, read: Read, account_id: str) -> None:
    assert read(connection(password=KEY, extra={"account_id": account_id})).account_id == account_id
