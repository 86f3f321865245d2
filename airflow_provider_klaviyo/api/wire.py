"""Write each request and read each answer, exactly as Klaviyo has them. Pure: text in, values out.

Source: https://developers.klaviyo.com/en/reference/api_overview
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

from airflow_provider_klaviyo.api.endpoints import (
    GET_ACCOUNT,
    GET_PROFILE,
    GET_PROFILES,
    PROFILE_DELETION,
    Endpoint,
)
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoError, error_class
from airflow_provider_klaviyo.api.pace import RateLimit

__all__ = [
    "MEDIA_TYPE",
    "NOBODY",
    "PAGE_SIZE",
    "PROFILE_ID",
    "Account",
    "Answer",
    "Page",
    "Profile",
    "Request",
    "account_request",
    "deletion_request",
    "error_from",
    "filter_any",
    "profile_request",
    "profiles_request",
    "quote_string",
    "read_account",
    "read_profile",
    "read_profiles",
    "read_rate_limit",
    "read_retry_after",
]

PAGE_SIZE: Final = 100
MEDIA_TYPE: Final = "application/vnd.api+json"
# An id that no profile has, to see whether a key may look profiles up at all.
NOBODY: Final = "0" * 26
PROFILE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What a filter is full of: encoded first, all at once, so that hardly anything is left to look at one by one.
ENCODED: Final = {character: f"%{ord(character):02X}" for character in '%",@[]()'}
PROFILE_FIELDS: Final = "email,phone_number,external_id,created"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Its repr names the endpoint only: query and body hold people's addresses."""

    endpoint: Endpoint
    path: str = field(repr=False)
    query: str = field(default="", repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """Klaviyo's record of a person, as far as it is needed here. Its repr shows the id only."""

    id: str
    email: str | None = field(default=None, repr=False)
    phone_number: str | None = field(default=None, repr=False)
    external_id: str | None = field(default=None, repr=False)
    created: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of profiles, and the cursor of the next one if there is one."""

    profiles: tuple[Profile, ...]
    next_cursor: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """Klaviyo's tenant: the owner of every profile and of every rate limit."""

    id: str
    organization_name: str | None = None
    is_test_account: bool = False

    def __str__(self) -> str:
        kind = "test account" if self.is_test_account else "account"
        return f"{kind} {self.id} ({self.organization_name or 'without a name'})"


def deletion_request(kind: str, value: str) -> Request:
    """Ask for the deletion of every profile that this identifier matches.

    :param kind: ``id``, ``email`` or ``phone_number``; Klaviyo takes no ``external_id`` here.

    Source: https://developers.klaviyo.com/en/reference/request_profile_deletion
    """
    profile: dict[str, Any] = {"type": "profile", "attributes": {}}
    if kind == "id":
        profile["id"] = value
    elif kind in ("email", "phone_number"):
        profile["attributes"][kind] = value
    else:
        raise ValueError(f"Klaviyo deletes by id, email or phone_number, not by {kind!r}: look the profile up")
    job = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
    return Request(PROFILE_DELETION, PROFILE_DELETION.path, body=json.dumps({"data": job}).encode())


def profiles_request(kind: str, values: Sequence[str], cursor: str | None = None) -> Request:
    """Ask for the profiles whose identifier of this kind is any of these values.

    :param kind: ``id``, ``email``, ``phone_number`` or ``external_id``.
    :param cursor: of the page wanted, from the `Page` before it.

    Source: https://developers.klaviyo.com/en/reference/get_profiles
    """
    query = {
        "filter": filter_any(kind, values),
        "fields[profile]": PROFILE_FIELDS,
        "page[size]": str(PAGE_SIZE),
    }
    if cursor is not None:
        query["page[cursor]"] = cursor
    return Request(GET_PROFILES, GET_PROFILES.path, query=_query(query))


def profile_request(profile_id: str) -> Request:
    """Ask for one profile. Anything but an id is refused: paths are logged, and an address must not be.

    Source: https://developers.klaviyo.com/en/reference/get_profile
    """
    if not PROFILE_ID.fullmatch(profile_id):
        raise ValueError("not a Klaviyo profile id: up to 64 letters and digits")
    path = GET_PROFILE.path.replace("{id}", quote(profile_id, safe=""))
    query = _query({"fields[profile]": PROFILE_FIELDS})
    return Request(GET_PROFILE, path, query=query)


def account_request() -> Request:
    """Ask whose key this is.

    Source: https://developers.klaviyo.com/en/reference/get_accounts
    """
    return Request(GET_ACCOUNT, GET_ACCOUNT.path)


def filter_any(field_name: str, values: Sequence[str]) -> str:
    """Return Klaviyo's filter for "this field is any of these values".

    Source: https://developers.klaviyo.com/en/docs/filtering_
    """
    return f"any({field_name},[{','.join(map(quote_string, values))}])"


def _query(parameters: Mapping[str, str]) -> str:
    """Return parameters as the query of a URL."""
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in parameters.items())


def _encoded(text: str) -> str:
    """Return a text as `urllib.parse.quote` does, which takes longer for a filter than all the rest of its call."""
    for character, encoded in ENCODED.items():
        text = text.replace(character, encoded)
    return quote(text, safe="%")


def quote_string(value: str) -> str:
    r"""Return a value as a string of Klaviyo's filter language: quotes and backslashes escaped by ``\``."""
    if not value.isprintable():
        raise ValueError("a filter value has a character that cannot be printed")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_profiles(answer: Answer) -> Page:
    """Read a page of profiles."""
    document = _document(answer, GET_PROFILES)
    data = document.get("data")
    if not isinstance(data, list):
        raise KlaviyoAnswerError("Klaviyo's list of profiles has no list in it", status=answer.status)
    return Page(tuple(_profile(item) for item in data), _next_cursor(document))


def read_profile(answer: Answer) -> Profile:
    """Read one profile."""
    return _profile(_document(answer, GET_PROFILE).get("data"))


def read_account(answer: Answer) -> Account:
    """Read whose key it is: exactly one account."""
    data = _document(answer, GET_ACCOUNT).get("data")
    if not isinstance(data, list) or len(data) != 1 or not _is_text(_at(data[0], "id")):
        raise KlaviyoAnswerError("Klaviyo did not name exactly one account for this key", status=answer.status)
    name = _at(data[0], "attributes", "contact_information", "organization_name")
    return Account(
        id=data[0]["id"],
        organization_name=name if _is_text(name) else None,
        is_test_account=_at(data[0], "attributes", "test_account") is True,
    )


def read_rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """Read what is left of the window that binds; None where the headers are missing or make no sense.

    The limit itself is not read: its header comes as a number or as a list of windows, and the documented limits
    are known. Remaining and reset are plain numbers in both forms.
    """
    remaining = _number(headers.get("ratelimit-remaining"))
    reset = _number(headers.get("ratelimit-reset"))
    if remaining is None or reset is None:
        return None
    return RateLimit(remaining=int(remaining), reset_seconds=reset)


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read for how many seconds Klaviyo wants to be left alone: given as seconds or as an HTTP date."""
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds())


def error_from(endpoint: Endpoint, answer: Answer) -> KlaviyoError:
    """Turn an answer that is not a success into the error to raise."""
    code, error_id, source = _first_error(answer)
    what = f"Klaviyo answered {answer.status}{f' {code}' if code else ''} to {endpoint}"
    return error_class(answer.status)(
        f"{what}: {_advice(endpoint, answer.status)}{f' (Klaviyo error id {error_id})' if error_id else ''}",
        status=answer.status,
        code=code,
        error_id=error_id,
        source=source,
        retry_after_seconds=read_retry_after(answer.headers),
    )


_ADVICE: Final = {
    401: "the private key is not accepted there",
    404: "there is no such thing",
    410: "the API revision is retired. Set a newer 'revision' on the connection, or leave it empty",
    429: "too many calls for this account",
}


def _advice(endpoint: Endpoint, status: int) -> str:
    if status == 403:
        scopes = " and ".join(endpoint.scopes)
        return f"the private key lacks the scope {scopes}, or the account's plan lacks the feature"
    if 300 <= status < 400:
        return "a redirect, which is not followed because the key would go along. Check the connection's host"
    if status >= 500:
        return "Klaviyo is in trouble; try again later"
    return _ADVICE.get(status, "the request is refused as it is")


def _first_error(answer: Answer) -> tuple[str | None, str | None, str | None]:
    """Return code, id and source of the first error, each only if it is a plain token and so nobody's data."""
    try:
        error = _at(json.loads(answer.body), "errors", 0)
    except (ValueError, RecursionError):
        return None, None, None
    source = _at(error, "source", "parameter") or _at(error, "source", "pointer")
    return _token(_at(error, "code")), _token(_at(error, "id")), _token(source)


def _token(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[\w./\[\]-]{1,100}", value, re.ASCII) else None


def _document(answer: Answer, endpoint: Endpoint) -> dict[str, Any]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise KlaviyoAnswerError(
            f"the answer to {endpoint} ({answer.status}, {len(answer.body):,} bytes{_packing(answer)}) is not JSON, so "
            "something between here and Klaviyo may have given it; try again",
            status=answer.status,
        ) from None
    if not isinstance(document, dict):
        raise KlaviyoAnswerError("Klaviyo's answer is not a JSON:API document", status=answer.status)
    return document


def _packing(answer: Answer) -> str:
    return "; compressed, which was not asked for, and so not read" if "content-encoding" in answer.headers else ""


def _profile(data: object) -> Profile:
    profile_id = _at(data, "id")
    attributes = _at(data, "attributes")
    if not isinstance(profile_id, str) or not PROFILE_ID.fullmatch(profile_id) or not isinstance(attributes, dict):
        raise KlaviyoAnswerError("Klaviyo's answer has a profile without a proper id or without attributes")
    texts = {name: value for name in PROFILE_FIELDS.split(",") if _is_text(value := attributes.get(name))}
    return Profile(id=profile_id, **texts)


def _next_cursor(document: Mapping[str, Any]) -> str | None:
    """Return the cursor out of the link to the next page. The link itself is never followed: the key goes along."""
    link = _at(document, "links", "next")
    if link is None:
        return None
    try:
        cursors = parse_qs(urlsplit(link).query, errors="strict").get("page[cursor]", []) if _is_text(link) else []
        "".join(cursors).encode()
    except ValueError:
        cursors = []
    if len(cursors) != 1:
        raise KlaviyoAnswerError("Klaviyo's link to the next page has no cursor")
    return str(cursors[0])


def _at(value: Any, *keys: str | int) -> Any:
    """Return what lies at the end of these keys, or None where the path breaks off."""
    for key in keys:
        try:
            value = value[key]
        except (LookupError, TypeError):
            return None
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\s*\d{1,300}(\.\d{1,6})?\s*", text) else None
