"""What a 401 means: a key that is bad everywhere, or an endpoint that refuses a good one.

For two days in April 2026 Klaviyo's deletion endpoint refused every good key, and took them again after that. Whoever
only reads "401" replaces a key that is right; whoever never trusts it tries a revoked key for days.
"""

from __future__ import annotations

from typing import Final

from airflow_provider_klaviyo.api.conversation import Conversation, exchange
from airflow_provider_klaviyo.api.endpoints import Endpoint
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoKeyError,
    KlaviyoPermissionError,
)
from airflow_provider_klaviyo.api.resources import NOBODY, account_request, profiles_request
from airflow_provider_klaviyo.api.wire import Answer, Request

__all__ = ["ask"]

PATIENCE_SECONDS: Final = 30.0


def ask(request: Request, *, patience_seconds: float, is_repeatable: bool = True) -> Conversation[Answer]:
    """Send one request as `exchange` does; on a 401 ask other endpoints with the same key what is wrong.

    :raises KlaviyoAuthenticationError: when the key is right elsewhere, or nothing can be learnt.
    :raises KlaviyoKeyError: when it is accepted nowhere.
    :raises KlaviyoError: as `exchange`.
    """
    try:
        return (yield from exchange(request, patience_seconds=patience_seconds, is_repeatable=is_repeatable))
    except KlaviyoAuthenticationError as error:
        refusal = error
    raise (yield from _diagnosed(refusal, request.endpoint))


def _diagnosed(refusal: KlaviyoAuthenticationError, endpoint: Endpoint) -> Conversation[KlaviyoAuthenticationError]:
    """Return a refusal that says what it means."""
    for probe in (account_request(), profiles_request("id", [NOBODY])):
        if probe.endpoint == endpoint:
            continue
        try:
            yield from exchange(probe, patience_seconds=PATIENCE_SECONDS)
        except KlaviyoPermissionError:
            pass  # Only who is known can be told what they may not do.
        except KlaviyoAuthenticationError:
            continue
        except KlaviyoError as error:
            return _explained(
                refusal,
                f"Whether the key is right could not be found out, because {probe.endpoint} did not answer either "
                f"({type(error).__name__})",
            )
        return _explained(
            refusal,
            f"The key itself is right: {probe.endpoint} knows it. Either it lacks the scope "
            f"{' and '.join(endpoint.scopes)}, or Klaviyo refuses everybody there for a while, as it has done for two "
            "days before: then try again later",
        )
    return KlaviyoKeyError(
        f"{refusal}. No other endpoint accepts it either: the key was revoked, or is mistyped. Put a good one into the "
        "connection's field 'Private API key' (password)",
        status=refusal.status,
        code=refusal.code,
        error_id=refusal.error_id,
        in_doubt=refusal.in_doubt,
    )


def _explained(refusal: KlaviyoAuthenticationError, explanation: str) -> KlaviyoAuthenticationError:
    refusal.args = (f"{refusal}. {explanation}",)
    return refusal
