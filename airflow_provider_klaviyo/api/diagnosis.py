"""What a 401 means: a key that is bad everywhere, or an endpoint that refuses a good one.

For two days in April 2026 Klaviyo's deletion endpoint refused every good key, and took them again after that. Whoever
only reads "401" replaces a key that is right; whoever never trusts it tries a revoked key for days.

An access token that is bad everywhere is replaced by a new one, once; but not one that a single endpoint refuses. For
with a new access token Klaviyo may take the refresh token back, and when that answer is lost there is no next one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from airflow_provider_klaviyo.api.conversation import Check, Conversation, Identify, Renew, as_it_is, exchange
from airflow_provider_klaviyo.api.credentials import Credential
from airflow_provider_klaviyo.api.endpoints import Endpoint
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoKeyError,
    KlaviyoPermissionError,
)
from airflow_provider_klaviyo.api.resources import NOBODY, account_request, profiles_request
from airflow_provider_klaviyo.api.wire import Answer, Request, read_document

__all__ = ["ask"]

PATIENCE_SECONDS: Final = 30.0

T = TypeVar("T")


def ask(
    request: Request,
    read: Callable[[Answer], T] = as_it_is,  # type: ignore[assignment]
    *,
    patience_seconds: float,
    is_repeatable: bool = True,
    before_send: Check | None = None,
    on_send: Callable[[], None] | None = None,
) -> Conversation[T]:
    """Send one request as `exchange` does; on a 401 ask other endpoints with the same key what is wrong.

    An access token that is accepted nowhere is replaced by a new one, and the request is sent once more.

    :param before_send: as `exchange` takes it, and ``on_send`` too: of this request, not of the others.
    :raises KlaviyoAuthenticationError: when the key is right elsewhere, or nothing can be learnt.
    :raises KlaviyoKeyError: when it is accepted nowhere.
    :raises KlaviyoError: as `exchange`.
    """
    how: dict[str, Any] = {
        "patience_seconds": patience_seconds,
        "is_repeatable": is_repeatable,
        "before_send": before_send,
        "on_send": on_send,
    }
    result = yield from _result_or_refusal(request, read, **how)
    if isinstance(result, KlaviyoKeyError) and (yield Renew()):
        result = yield from _result_or_refusal(request, read, **how, in_doubt=result.in_doubt)
    if isinstance(result, KlaviyoError):
        raise result
    return result


def _result_or_refusal(
    request: Request, read: Callable[[Answer], T], **how: Any
) -> Conversation[T | KlaviyoAuthenticationError]:
    """Send one request; return what is read of the answer, or a 401 that says what it means."""
    try:
        return (yield from exchange(request, read, **how))
    except KlaviyoKeyError:
        raise  # What is wrong is known already: there is no access token to be had.
    except KlaviyoAuthenticationError as error:
        refusal = error
    return (yield from _diagnosed(refusal, request.endpoint))


def _diagnosed(refusal: KlaviyoAuthenticationError, endpoint: Endpoint) -> Conversation[KlaviyoAuthenticationError]:
    """Return a refusal that says what it means."""
    credential: Credential = yield Identify()
    for probe in (account_request(), profiles_request("id", [NOBODY])):
        if probe.endpoint == endpoint:
            continue
        try:
            yield from exchange(
                probe, partial(read_document, endpoint=probe.endpoint), patience_seconds=PATIENCE_SECONDS
            )
        except KlaviyoPermissionError:
            pass  # Only who is known can be told what they may not do.
        except KlaviyoKeyError as error:
            error.in_doubt = refusal.in_doubt
            return error
        except KlaviyoAuthenticationError:
            continue
        except KlaviyoError as error:
            return _explained(
                refusal,
                f"Whether the {credential.short_name} is right could not be found out, because {probe.endpoint} did "
                f"not answer either ({type(error).__name__})",
            )
        return _explained(
            refusal,
            f"The {credential.short_name} itself is right: {probe.endpoint} knows it. Either it lacks the scope "
            f"{' and '.join(endpoint.scopes)}, or Klaviyo refuses everybody there for a while, as it has done for two "
            "days before: then try again later",
        )
    return KlaviyoKeyError(
        f"{refusal}. No other endpoint accepts it either: {credential.remedy}",
        status=refusal.status,
        code=refusal.code,
        error_id=refusal.error_id,
        in_doubt=refusal.in_doubt,
    )


def _explained(refusal: KlaviyoAuthenticationError, explanation: str) -> KlaviyoAuthenticationError:
    refusal.args = (f"{refusal}. {explanation}",)
    return refusal
