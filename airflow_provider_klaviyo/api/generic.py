"""Any call that Klaviyo documents and nothing else here covers: at a pace, tried again where that does no harm.

Paths are logged. So they are plain, and what is about a person belongs into the parameters or the body, which are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Conversation
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS, Endpoint
from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.api.settings import REVISION
from airflow_provider_klaviyo.api.wire import Answer, Request, is_empty, query_string, read_document

__all__ = ["SAFE_TO_REPEAT", "SLOWEST", "call", "endpoint_of", "generic_request"]

SLOWEST: Final = Limit(burst=1, steady=15)
SAFE_TO_REPEAT: Final = frozenset({"DELETE", "GET", "HEAD", "PUT"})
METHODS: Final = SAFE_TO_REPEAT | {"PATCH", "POST"}
WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
LONGEST_PATH: Final = 500
# No percent, at, plus or question mark: an address or a number in E.164 cannot be written without them.
PATH: Final = re.compile(r"/(?:api|client)(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+/?")
WORD: Final = re.compile(r"[a-z]+(?:-[a-z]+)*")
# As long as a ledger's column of paces.
LONGEST_NAME: Final = 64
UNKNOWN_SCOPE: Final = ("that Klaviyo's reference names for it",)


def call(
    request: Request, *, is_repeatable: bool, patience_seconds: float = PATIENCE_SECONDS
) -> Conversation[dict[str, Any] | None]:
    """Send a request, and return the JSON document that is answered; None for an empty answer.

    :param is_repeatable: sending it twice does no more than sending it once.
    :raises KlaviyoAnswerError: for an answer that is no JSON object.
    :raises KlaviyoError: with ``in_doubt``, when something that is not repeatable may have been carried out.
    """
    read = partial(_read, endpoint=request.endpoint)
    return (yield from ask(request, read, patience_seconds=patience_seconds, is_repeatable=is_repeatable))


def generic_request(
    method: str,
    path: str,
    *,
    params: Mapping[str, str | int] | None = None,
    body: Mapping[str, Any] | Sequence[Any] | None = None,
    limit: Limit = SLOWEST,
    revision: str | None = None,
) -> Request:
    """Write a request for whatever endpoint.

    :raises KlaviyoConfigurationError: for a path that might hold somebody's data, and for what cannot be sent. The
        message does not repeat it.
    """
    endpoint = endpoint_of(method, path, limit)
    if body is not None and endpoint.method in WITHOUT_BODY:
        raise KlaviyoConfigurationError(f"a {method} has no body: what it is to filter by belongs into params")
    if revision is not None and not REVISION.fullmatch(revision):
        raise KlaviyoConfigurationError("revision must look like 2026-07-15, or 2026-07-15.pre")
    headers = {} if revision is None else {"revision": revision}
    return Request(endpoint, path, query=_query(params or {}), body=_written(body), headers=headers)


def endpoint_of(method: str, path: str, limit: Limit = SLOWEST) -> Endpoint:
    """Return the endpoint that a path belongs to: a known one where there is one, so that they share its pace.

    :param limit: of one that is not known.
    :raises KlaviyoConfigurationError: for a method or a path that there is not.
    """
    if method not in METHODS:
        raise KlaviyoConfigurationError(f"method must be one of {', '.join(sorted(METHODS))}, in capitals")
    if not isinstance(path, str) or len(path) > LONGEST_PATH or ".." in path or not PATH.fullmatch(path):
        raise KlaviyoConfigurationError(
            "path must begin with /api/ or /client/ and be made of letters, digits, dots and dashes, because paths are "
            "logged: what comes after a ? belongs into params, and nobody's address into a path"
        )
    if not limit.is_possible:
        raise KlaviyoConfigurationError("limit must be Limit(burst=…, steady=…), both above 0")
    segments = path.strip("/").split("/")
    for known in ENDPOINTS.values():
        if known.method == method and _matches(segments, known.path.strip("/").split("/")):
            return known
    template = "/" + "/".join(_named(place, segment) for place, segment in enumerate(segments))
    return Endpoint(f"{method} {template}"[:LONGEST_NAME], method, template, UNKNOWN_SCOPE, limit)


def _matches(segments: Sequence[str], template: Sequence[str]) -> bool:
    return len(segments) == len(template) and all(
        segment == name or name.startswith("{") for segment, name in zip(segments, template, strict=True)
    )


def _named(place: int, segment: str) -> str:
    """Return a segment as an endpoint's name has it: an id is any, so that all of them keep one pace.

    Klaviyo's paths are ``/api/lists``, ``/api/lists/{id}``, ``/api/lists/{id}/relationships/profiles``.
    """
    return segment if place != 2 and WORD.fullmatch(segment) else "{id}"


def _query(params: Mapping[str, str | int]) -> str:
    if not all(isinstance(name, str) and isinstance(value, str | int) for name, value in params.items()):
        raise KlaviyoConfigurationError("params must be a mapping of names to texts or numbers")
    try:
        return query_string({name: _text(value) for name, value in params.items()})
    except ValueError:
        pass
    raise KlaviyoConfigurationError("params have half of a surrogate pair in them, or a number of thousands of digits")


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _written(body: Mapping[str, Any] | Sequence[Any] | None) -> bytes | None:
    if body is None:
        return None
    if not isinstance(body, Mapping | list | tuple):
        raise KlaviyoConfigurationError(f"json must be a mapping or a list, not {type(body).__name__}")
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (RecursionError, TypeError, ValueError) as error:
        kind = type(error).__name__
    raise KlaviyoConfigurationError(f"json has something in it that JSON has not, such as a date ({kind})")


def _read(answer: Answer, endpoint: Endpoint) -> dict[str, Any] | None:
    return None if is_empty(answer) else read_document(answer, endpoint)
