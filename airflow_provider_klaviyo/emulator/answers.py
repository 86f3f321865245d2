"""Answers as they go over the wire: JSON:API documents, errors, and the HTML of an edge server."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal

MEDIA_TYPE = "application/vnd.api+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is sent; `dropped` means nothing but a closed connection.

    - `bytes_per_second`: how fast the body comes; None for all at once.
    """

    status: int
    body: bytes = b""
    media_type: str = MEDIA_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    dropped: bool = False
    bytes_per_second: float | None = None

    @property
    def successful(self) -> bool:
        """Whether the call did what it was meant to do."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        """Return the same answer with more headers."""
        return replace(self, headers={**self.headers, **headers})

    def truncated(self) -> Answer:
        """Return the same answer with the second half of its body missing."""
        return replace(self, body=self.body[: len(self.body) // 2])

    def mistyped(self) -> Answer:
        """Return the same answer with numbers where texts should be, texts for numbers, and objects for lists."""
        return replace(self, body=json.dumps(_mistyped(json.loads(self.body))).encode())

    def of_another_type(self) -> Answer:
        """Return the same answer with resources that nobody asked for, under the same ids."""
        content = json.loads(self.body)
        data = content.get("data")
        for resource in data if isinstance(data, list) else [data]:
            if isinstance(resource, dict):
                resource["type"] = "tag"
        return replace(self, body=json.dumps(content).encode())

    def with_errors(self) -> Answer:
        """Return a success that says that nothing was found, and has errors in it."""
        errors = json.loads(RefusalError(self.status, "invalid", "Invalid input.", "It went wrong.").answer().body)
        return replace(self, body=json.dumps({"data": [], **errors}).encode())

    def dripping(self, bytes_per_second: float) -> Answer:
        """Return the same answer, whose body comes slowly."""
        return replace(self, bytes_per_second=bytes_per_second)

    def exploding(self, megabytes: int) -> Answer:
        """Return the same answer after so much white space, all in a few kilobytes of gzip; asked for or not."""
        bomb = gzip.compress(b" " * 1_000_000, mtime=0) * megabytes + gzip.compress(self.body, mtime=0)
        return replace(self, body=bomb, headers={**self.headers, "Content-Encoding": "gzip"})


def _mistyped(value: Any) -> Any:
    match value:
        case str():
            return len(value)
        case int() | float():
            return str(value)
        case list():
            return {str(index): _mistyped(item) for index, item in enumerate(value)}
        case dict():
            return {name: _mistyped(item) for name, item in value.items()}
    return value


class RefusalError(Exception):
    """A request is answered with this error; raised by whatever finds it."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.source = {"parameter": parameter} if parameter else {"pointer": pointer or "/data/"}
        self.meta = dict(meta or {})

    def answer(self) -> Answer:
        """Return the JSON:API error document."""
        error = {
            "id": str(uuid.uuid4()),
            "status": self.status,
            "code": self.code,
            "title": self.title,
            "detail": self.detail,
            "source": self.source,
            "links": {},
            "meta": self.meta,
        }
        return document({"errors": [error]}, status=self.status)


def document(content: Mapping[str, Any], *, status: int = HTTPStatus.OK) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(int(status), json.dumps(content).encode())


def invalid(detail: str, *, pointer: str | None = None, parameter: str | None = None) -> RefusalError:
    """Return the 400 for a request that cannot be understood."""
    return RefusalError(
        HTTPStatus.BAD_REQUEST, "invalid", "Invalid input.", detail, pointer=pointer, parameter=parameter
    )


def not_found(detail: str) -> RefusalError:
    """Return the 404; as with Klaviyo, `detail` may repeat what was asked for."""
    return RefusalError(HTTPStatus.NOT_FOUND, "not_found", "Not found.", detail)


def duplicate_profile(profile_id: str) -> RefusalError:
    """Return the 409 that says which other profile holds an identifier already."""
    return RefusalError(
        HTTPStatus.CONFLICT,
        "duplicate_profile",
        "Conflict.",
        "A profile already exists with one of these identifiers.",
        pointer="/data/attributes",
        meta={"duplicate_profile_id": profile_id},
    )


def authentication_failed() -> RefusalError:
    """Return the 401."""
    return RefusalError(
        HTTPStatus.UNAUTHORIZED,
        "authentication_failed",
        "Incorrect authentication credentials.",
        "Incorrect authentication credentials.",
    )


def permission_denied(scope: str) -> RefusalError:
    """Return the 403 for a key without `scope`."""
    return RefusalError(
        HTTPStatus.FORBIDDEN,
        "permission_denied",
        "You do not have permission to perform this action.",
        f"The API key is missing a required scope: {scope}",
    )


def throttled(retry_after: int | None) -> Answer:
    """Return the 429 that asks for `retry_after` seconds of patience, or does not say how many."""
    refusal = RefusalError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "throttled",
        "Request was throttled.",
        f"Request was throttled. Expected available in {retry_after or 0} seconds.",
    )
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return refusal.answer().with_headers(headers)


def html(status: int) -> Answer:
    """Return what an edge server says when it answers in Klaviyo's place."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    page = f"<html><head><title>{status} {phrase}</title></head><body><h1>{phrase}</h1></body></html>"
    return Answer(status, page.encode(), "text/html")


def redirect(location: str) -> Answer:
    """Return the 307 that sends a client, and its credentials if it is careless, elsewhere."""
    return Answer(HTTPStatus.TEMPORARY_REDIRECT, media_type="text/html", headers={"Location": location})


def dropped(answer: Answer | None = None) -> Answer:
    """Return the answer that is never sent."""
    return replace(answer or Answer(0), dropped=True)


Outcome = int | Literal["dropped"]
