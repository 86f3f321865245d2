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
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

from airflow_provider_klaviyo.api.credentials import PRIVATE_KEY, Credential
from airflow_provider_klaviyo.api.endpoints import Endpoint
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoDuplicateProfileError,
    KlaviyoError,
    KlaviyoUnavailableError,
    error_class,
)
from airflow_provider_klaviyo.api.pace import RateLimit

__all__ = [
    "MEDIA_TYPE",
    "PAGE_SIZE",
    "PLAIN_ID",
    "Answer",
    "Page",
    "Request",
    "at",
    "check_type",
    "error_from",
    "filter_any",
    "is_api_error",
    "is_empty",
    "is_text",
    "next_cursor",
    "query_string",
    "quote_string",
    "read_document",
    "read_rate_limit",
    "read_retry_after",
]

PAGE_SIZE: Final = 100
MEDIA_TYPE: Final = "application/vnd.api+json"
# What a filter is full of: encoded first, all at once, so that hardly anything is left to look at one by one.
ENCODED: Final = {character: f"%{ord(character):02X}" for character in '%",@[]()'}
DUPLICATE_PROFILE: Final = (409, "duplicate_profile")
ERROR_TEXTS: Final = ("id", "code", "title", "detail")
ERROR_MEMBERS: Final = frozenset({*ERROR_TEXTS, "status", "source", "links", "meta"})
# What may stand in a path and in a log, and is nobody's address.
PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. Its repr names the endpoint only: query and body hold people's addresses.

    :param headers: its own, in place of those that every request has; names are lower-case.
    :param is_divisible: it asks for several things, so that an answer that says it is too long can be believed.
    """

    endpoint: Endpoint
    path: str = field(repr=False)
    query: str = field(default="", repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_divisible: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, and the cursor of the next one if there is one."""

    items: tuple[T, ...]
    next_cursor: str | None = field(default=None, repr=False)


def filter_any(field_name: str, values: Sequence[str]) -> str:
    """Return Klaviyo's filter for "this field is any of these values".

    Source: https://developers.klaviyo.com/en/docs/filtering_
    """
    return f"any({field_name},[{','.join(map(quote_string, values))}])"


def query_string(parameters: Mapping[str, str]) -> str:
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


def error_from(
    endpoint: Endpoint, answer: Answer, credential: Credential = PRIVATE_KEY, *, is_genuine: bool | None = None
) -> KlaviyoError:
    """Turn an answer that is not a success into the error to raise.

    :param credential: what the request was sent with.
    :param is_genuine: whether it is Klaviyo's answer; None for what `is_api_error` says.
    """
    if is_genuine is None:
        is_genuine = is_api_error(endpoint, answer)
    first = _first_error(answer)
    code, error_id = _token(at(first, "code")), _token(at(first, "id"))
    what = f"Klaviyo answered {answer.status}{f' {code}' if code else ''} to {endpoint}"
    if not is_genuine:
        what = f"{endpoint} was answered {answer.status}, {len(answer.body):,} bytes{_packing(answer)}"
    advice = _advice(endpoint, answer.status, credential, is_genuine=is_genuine)
    message = f"{what}: {advice}{f' (Klaviyo error id {error_id})' if error_id else ''}"
    known: dict[str, Any] = {
        "status": answer.status,
        "code": code,
        "error_id": error_id,
        "source": _token(at(first, "source", "parameter") or at(first, "source", "pointer")),
        "retry_after_seconds": read_retry_after(answer.headers),
    }
    if is_genuine and (answer.status, code) == DUPLICATE_PROFILE:
        other = at(first, "meta", "duplicate_profile_id")
        other = other if isinstance(other, str) and PLAIN_ID.fullmatch(other) else None
        if other is not None:
            message += f". Profile {other} holds it: merge the two in Klaviyo, or correct the list"
        return KlaviyoDuplicateProfileError(message, duplicate_profile_id=other, **known)
    return (error_class(answer.status) if is_genuine else KlaviyoAnswerError)(message, **known)


def is_api_error(endpoint: Endpoint, answer: Answer) -> bool:
    """Tell whether an answer that is not a success may be Klaviyo's own, rather than that of something in between.

    Klaviyo's API answers with a JSON:API list of errors. Answers that say "not now" need none: they are waited out all
    the same. An answer to a HEAD has no body in any case.

    Source: https://jsonapi.org/format/#errors
    """
    kind = error_class(answer.status)
    if endpoint.method == "HEAD" or (issubclass(kind, KlaviyoUnavailableError) and kind is not KlaviyoAnswerError):
        return True
    errors = at(_json(answer), "errors")
    return isinstance(errors, list) and len(errors) > 0 and all(map(_is_error, errors))


def _is_error(error: object) -> bool:
    """Tell whether this is an error object; firewalls have lists of errors too, with a message or a numeric code."""
    if not isinstance(error, dict) or (error and ERROR_MEMBERS.isdisjoint(error)):
        return False
    return all(error.get(name) is None or isinstance(error[name], str) for name in ERROR_TEXTS)


_ADVICE: Final = {
    404: "there is no such thing",
    409: "something else is in its way, such as another profile with the same identifier",
    410: "the API revision is retired. Set a newer 'revision' on the connection, or leave it empty",
    429: "too many calls for this account",
}


def _advice(endpoint: Endpoint, status: int, credential: Credential, *, is_genuine: bool) -> str:
    if 300 <= status < 400:
        return "a redirect, which is not followed because the key would go along. Check the connection's host"
    if not is_genuine:
        return (
            "it is not Klaviyo's API that says so, but something between here and there, such as a firewall. Try again "
            "later; if it lasts, check the network, the proxy and the connection's host"
        )
    if status == 401:
        return f"the {credential.name} is not accepted there"
    if status == 403:
        scopes = " and ".join(endpoint.scopes)
        lacking = f"the {credential.name} lacks the scope {scopes}, or the account's plan lacks the feature"
        return f"{lacking}. {credential.scope_remedy}" if credential.scope_remedy else lacking
    if status >= 500:
        return "Klaviyo is in trouble; try again later"
    return _ADVICE.get(status, "the request is refused as it is")


def _first_error(answer: Answer) -> Any:
    """Return the first error of an answer. Nothing of it may be repeated but plain tokens: the rest quotes people."""
    return at(_json(answer), "errors", 0)


def _json(answer: Answer) -> Any:
    """Return what an answer has as JSON, None where it has none. No error keeps the text."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _token(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[\w./\[\]-]{1,100}", value, re.ASCII) else None


def read_document(answer: Answer, endpoint: Endpoint) -> dict[str, Any]:
    """Read an answer as the JSON object that it must be, without errors.

    :raises KlaviyoAnswerError: for anything else.
    """
    document = _json(answer)
    if not isinstance(document, dict):
        raise KlaviyoAnswerError(
            f"the answer to {endpoint} ({answer.status}, {len(answer.body):,} bytes{_packing(answer)}) is not JSON, "
            "or no object, so something between here and Klaviyo may have given it; try again",
            status=answer.status,
        )
    if document.get("errors"):
        raise KlaviyoAnswerError(f"the answer to {endpoint} ({answer.status}) has errors in it", status=answer.status)
    return document


def check_type(resource: object, kind: str) -> None:
    """Refuse a resource of another type than was asked for.

    :raises KlaviyoAnswerError: for one.
    """
    if isinstance(resource, dict) and resource.get("type", kind) != kind:
        raise KlaviyoAnswerError(f"Klaviyo's answer has something else where a {kind} should be")


def is_empty(answer: Answer) -> bool:
    """Tell whether nothing was answered; a compressed answer is something, but is not read."""
    return not answer.body.strip() and answer.headers.get("content-encoding", "identity") == "identity"


def _packing(answer: Answer) -> str:
    return "; compressed, which was not asked for, and so not read" if "content-encoding" in answer.headers else ""


def next_cursor(document: Mapping[str, Any]) -> str | None:
    """Return the cursor out of the link to the next page. The link itself is never followed: the key goes along."""
    link = at(document, "links", "next")
    if link is None:
        return None
    try:
        cursors = parse_qs(urlsplit(link).query, errors="strict").get("page[cursor]", []) if is_text(link) else []
        "".join(cursors).encode()
    except ValueError:
        cursors = []
    if len(cursors) != 1:
        raise KlaviyoAnswerError("Klaviyo's link to the next page has no cursor")
    return str(cursors[0])


def at(value: Any, *keys: str | int) -> Any:
    """Return what lies at the end of these keys, or None where the path breaks off."""
    for key in keys:
        try:
            value = value[key]
        except (LookupError, TypeError):
            return None
    return value


def is_text(value: object) -> bool:
    """Tell whether a value is a text with anything in it."""
    return isinstance(value, str) and value != ""


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\s*\d{1,300}(\.\d{1,6})?\s*", text) else None
