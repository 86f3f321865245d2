"""What is said to Klaviyo, and when: pacing, retries and waiting as a generator that does no I/O itself.

A conversation yields one step at a time and is sent what became of it. A client carries the steps out, so that
the blocking client and the asyncio client say the same things and differ in ``await`` only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from airflow_provider_klaviyo.api.credentials import PRIVATE_KEY
from airflow_provider_klaviyo.api.endpoints import Endpoint
from airflow_provider_klaviyo.api.errors import (
    KlaviyoConnectionError,
    KlaviyoError,
    KlaviyoRateLimitError,
    KlaviyoUnavailableError,
    NotPermittedError,
)
from airflow_provider_klaviyo.api.pace import RateLimit, Slot
from airflow_provider_klaviyo.api.wire import Answer, Request, error_from, read_rate_limit

__all__ = [
    "PATIENCE_SECONDS",
    "Check",
    "Conversation",
    "Heed",
    "Hold",
    "Identify",
    "NoAnswer",
    "NotSent",
    "Renew",
    "Reserve",
    "Send",
    "Sleep",
    "Step",
    "error_of",
    "exchange",
    "turn",
]

PATIENCE_SECONDS: Final = 600.0
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
# A check before a send takes two calls at most as a rule. Checks that came too late begin earlier the next time.
LOOK_AHEAD_SECONDS: Final = 1.0
LONGEST_LOOK_AHEAD_SECONDS: Final = 8.0


@dataclass(frozen=True, slots=True)
class Reserve:
    """Take a turn at an endpoint, or look again at one taken earlier; is sent a `Slot`.

    A turn that is more than ``longest_seconds`` away is not taken.
    """

    endpoint: Endpoint
    slot: Slot | None = None
    longest_seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for so long; is sent nothing. ``reason`` says what trouble is waited out, if it is trouble."""

    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; is sent an `Answer`, `NoAnswer` or `NotSent`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep everybody who shares the pace off an endpoint for so long, because of ``reason``; is sent nothing."""

    endpoint: Endpoint
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Heed:
    """Slow the pace down if an answer's headers say so; is sent nothing."""

    endpoint: Endpoint
    rate_limit: RateLimit


@dataclass(frozen=True, slots=True)
class Identify:
    """Ask what requests are sent with; is sent a `Credential`."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Have the access token of the last request replaced before the next; is sent whether that can be done at all."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may or may not have arrived. ``reason`` is the kind of failure."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request has certainly not been sent: there was no access token for it, because of this error."""

    error: KlaviyoError


Step = Reserve | Sleep | Send | Hold | Heed | Identify | Renew
T = TypeVar("T")
Conversation = Generator[Step, Any, T]
Check = Callable[[], Conversation[None]]


def exchange(
    request: Request,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    is_repeatable: bool = True,
    in_doubt: bool = False,
    before_send: Check | None = None,
    on_send: Callable[[], None] | None = None,
) -> Conversation[Answer]:
    """Send one request at its turn, again if need be, and return the successful answer.

    Nearly every call made here may be repeated: deleting twice deletes once. So 429, 5xx and a broken connection are
    waited out. ``Retry-After`` is honoured exactly; where it is missing the pauses grow from 1 s to 60 s.

    :param patience_seconds: how long to wait for better times in all, not counting the even pace.
    :param is_repeatable: False for a request that does more when it is sent twice. Then only a 429 is waited out, by
        which nothing was done; any other trouble is ``in_doubt`` at once.
    :param in_doubt: whether the same request was sent before, and may have been carried out.
    :param before_send: run before each send, the repeated ones too, `LOOK_AHEAD_SECONDS` before the turn at the
        earliest, so that it delays nothing. When it raises, nothing is sent, and its error goes through: a
        `KlaviyoError` of its own calls would pass for one of the request, and should come as a `NotPermittedError`.
    :param on_send: called directly before each send. When it raises, nothing is sent, and its error goes through.
    :raises NotPermittedError: from these two, with ``in_doubt`` as below.
    :raises KlaviyoUnavailableError: when the next wait would go beyond the patience. It is raised before that
        wait, and carries it as ``retry_after_seconds``.
    :raises KlaviyoError: what `error_class` says, for an answer that waiting will not mend. Any error is ``in_doubt``
        when an earlier send had no answer or a 5xx: Klaviyo may have done what it was asked, and only failed to say so.
    """
    pause_seconds = FIRST_PAUSE_SECONDS
    longest_turn_seconds = patience_seconds + LONGEST_PAUSE_SECONDS
    # Longer than the longest turn that is waited for: when one gives up, so do all others at once, rather than after a
    # wait that cannot help. Not without end, since some server in between may have made the number up.
    longest_hold_seconds = longest_turn_seconds + LONGEST_PAUSE_SECONDS
    try:
        while True:
            yield from turn(request.endpoint, longest_turn_seconds, before_send)
            if on_send is not None:
                on_send()
            answer: Answer | NoAnswer | NotSent = yield Send(request)
            if isinstance(answer, Answer):
                rate_limit = read_rate_limit(answer.headers)
                if rate_limit is not None:
                    yield Heed(request.endpoint, rate_limit)
                if 200 <= answer.status < 300:
                    return answer
            error = yield from error_of(request.endpoint, answer)
            if not isinstance(error, KlaviyoUnavailableError):
                raise error
            was_not_done = isinstance(error, KlaviyoRateLimitError) or isinstance(answer, NotSent)
            if not is_repeatable and not was_not_done:
                in_doubt = True
                raise _unrepeated(error)
            wait_seconds = pause_seconds if error.retry_after_seconds is None else error.retry_after_seconds
            if isinstance(answer, Answer):
                yield Hold(request.endpoint, min(wait_seconds, longest_hold_seconds), str(error))
            if wait_seconds > patience_seconds:
                raise _out_of_patience(error, wait_seconds)
            if not isinstance(answer, Answer):
                yield Sleep(wait_seconds, str(error))
            in_doubt = in_doubt or not was_not_done
            patience_seconds -= max(wait_seconds, FIRST_PAUSE_SECONDS)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
    except (KlaviyoError, NotPermittedError) as error:
        error.in_doubt = in_doubt
        raise


def turn(endpoint: Endpoint, longest_seconds: float, check: Check | None = None) -> Conversation[None]:
    """Wait for this endpoint's turn. A turn that a refusal has made void meanwhile is exchanged for a later one.

    :param check: run shortly before the turn, and again when the turn is exchanged for one that is far away.
    :raises KlaviyoRateLimitError: when it is further away than this.
    """
    slot: Slot = yield Reserve(endpoint, None, longest_seconds)
    is_due, ahead_seconds = check is not None, LOOK_AHEAD_SECONDS
    while is_due or slot.wait_seconds > 0:
        if slot.wait_seconds > longest_seconds:
            raise KlaviyoRateLimitError(
                f"the next turn at {endpoint} is {slot.wait_seconds:,.0f} s away, longer than this call may wait: "
                "Klaviyo has refused others for so long, or too many are waiting",
                retry_after_seconds=slot.wait_seconds,
            )
        if check is not None and is_due and slot.wait_seconds <= ahead_seconds:
            yield from check()
            is_due = False
        else:
            yield Sleep(slot.wait_seconds - (ahead_seconds if is_due else 0.0))
        slot = yield Reserve(endpoint, slot, longest_seconds)
        if check is not None and not is_due and slot.wait_seconds > ahead_seconds:
            is_due, ahead_seconds = True, min(2 * ahead_seconds, LONGEST_LOOK_AHEAD_SECONDS)


def _out_of_patience(error: KlaviyoUnavailableError, wait_seconds: float) -> KlaviyoUnavailableError:
    """Say in the error how long the next wait would be."""
    error.args = (f"{error}. The next try is due in {wait_seconds:,.0f} s, longer than this call may wait",)
    error.retry_after_seconds = wait_seconds
    return error


def _unrepeated(error: KlaviyoUnavailableError) -> KlaviyoUnavailableError:
    """Say in the error that the request may have been carried out."""
    error.args = (
        f"{error}. It may have been carried out all the same, and was not sent again, because that might do it twice: "
        "look first what became of it",
    )
    return error


def error_of(endpoint: Endpoint, answer: Answer | NoAnswer | NotSent) -> Conversation[KlaviyoError]:
    """Return the error for what became of a request that did not succeed."""
    if isinstance(answer, Answer):
        is_about_credential = answer.status in (401, 403)
        return error_from(endpoint, answer, (yield Identify()) if is_about_credential else PRIVATE_KEY)
    if isinstance(answer, NotSent):
        return answer.error
    return KlaviyoConnectionError(
        f"no answer to {endpoint} ({answer.reason}): check the network, the proxy and the connection's host"
    )
