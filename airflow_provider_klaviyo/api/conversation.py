"""What is said to Klaviyo, and when: pacing, retries and waiting as a generator that does no I/O itself.

A conversation yields one step at a time and is sent what became of it. A client carries the steps out, so that
the blocking client and the asyncio client say the same things and differ in ``await`` only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeVar

from airflow_provider_klaviyo.api.credentials import PRIVATE_KEY
from airflow_provider_klaviyo.api.endpoints import Endpoint
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoConnectionError,
    KlaviyoError,
    KlaviyoRateLimitError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.pace import RateLimit, Slot
from airflow_provider_klaviyo.api.permit import NotPermittedError
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
    "as_it_is",
    "error_of",
    "exchange",
    "turn",
]

PATIENCE_SECONDS: Final = 600.0
# A host that is not Klaviyo answers with successes that are none for good, and that is to show soon.
WRONG_SUCCESS_PATIENCE_SECONDS: Final = 10.0
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


def as_it_is(answer: Answer) -> Answer:
    """Return an answer that any success will do for."""
    return answer


def exchange(
    request: Request,
    read: Callable[[Answer], T] = as_it_is,  # type: ignore[assignment]
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    is_repeatable: bool = True,
    in_doubt: bool = False,
    before_send: Check | None = None,
    on_send: Callable[[], None] | None = None,
) -> Conversation[T]:
    """Send one request at its turn, again if need be, and return what is read of the successful answer.

    Nearly every call made here may be repeated: deleting twice deletes once. So 429, 5xx, an answer that is not of
    Klaviyo's API, and a broken connection are waited out. ``Retry-After`` is honoured exactly; where it is missing the
    pauses grow from 1 s to 60 s. Successes that are none are waited out for 10 s in all, and a redirect is not.

    :param read: reads the answer to a success; raises `KlaviyoAnswerError` for what Klaviyo does not answer.
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
        when an earlier send had no proper answer or a 5xx: Klaviyo may have done what it was asked, and only failed to
        say so.
    """
    pause_seconds, waited_seconds = FIRST_PAUSE_SECONDS, 0.0
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
            result = yield from _result(request, answer, read)
            if not isinstance(result, KlaviyoError):
                return result
            error: KlaviyoError = result
            if not isinstance(error, KlaviyoUnavailableError) or _is_redirect(answer):
                raise error
            was_not_done = isinstance(error, KlaviyoRateLimitError) or isinstance(answer, NotSent)
            if not is_repeatable and not was_not_done:
                in_doubt = True
                raise _unrepeated(error)
            wait_seconds = pause_seconds if error.retry_after_seconds is None else error.retry_after_seconds
            if isinstance(answer, Answer):
                yield Hold(request.endpoint, min(wait_seconds, longest_hold_seconds), str(error))
            longest_seconds = min(patience_seconds, _patience_for(error)) - waited_seconds
            if wait_seconds > longest_seconds:
                raise _out_of_patience(error, wait_seconds)
            if not isinstance(answer, Answer):
                yield Sleep(wait_seconds, str(error))
            in_doubt = in_doubt or not was_not_done
            waited_seconds += max(wait_seconds, FIRST_PAUSE_SECONDS)
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


def _patience_for(error: KlaviyoUnavailableError) -> float:
    """Return for how long this kind of trouble is waited out at most."""
    is_wrong_success = isinstance(error, KlaviyoAnswerError) and 200 <= (error.status or 0) < 300
    return WRONG_SUCCESS_PATIENCE_SECONDS if is_wrong_success else math.inf


def _is_redirect(answer: Answer | NoAnswer | NotSent) -> bool:
    """Tell whether an answer sends elsewhere, which is the host's or the network's way, and not for a while."""
    return isinstance(answer, Answer) and 300 <= answer.status < 400 and "location" in answer.headers


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


def _result(
    request: Request, answer: Answer | NoAnswer | NotSent, read: Callable[[Answer], T]
) -> Conversation[T | KlaviyoError]:
    """Return what a success says, or the error for anything else."""
    if isinstance(answer, Answer) and 200 <= answer.status < 300:
        try:
            return read(answer)
        except KlaviyoAnswerError as error:
            error.status = answer.status
            return error
    # Something in between that takes no long URL says so itself, and the halves of it may pass.
    is_too_long = isinstance(answer, Answer) and answer.status == HTTPStatus.REQUEST_URI_TOO_LONG
    return (
        yield from error_of(request.endpoint, answer, is_genuine=True if is_too_long and request.is_divisible else None)
    )


def error_of(
    endpoint: Endpoint, answer: Answer | NoAnswer | NotSent, *, is_genuine: bool | None = None
) -> Conversation[KlaviyoError]:
    """Return the error for what became of a request that did not succeed.

    :param is_genuine: whether an answer is Klaviyo's; None for what `is_api_error` says.
    """
    if isinstance(answer, Answer):
        is_about_credential = answer.status in (401, 403)
        credential = (yield Identify()) if is_about_credential else PRIVATE_KEY
        return error_from(endpoint, answer, credential, is_genuine=is_genuine)
    if isinstance(answer, NotSent):
        return answer.error
    return KlaviyoConnectionError(
        f"no answer to {endpoint} ({answer.reason}): check the network, the proxy and the connection's host"
    )
