"""The access token of an installation, for everything that works on it: replaced in time, by one at a time.

A refresh token may be good for one use only, and the next one comes with the answer. So whoever refreshes has a lease,
keeps what comes before anybody uses it, and is not stopped in between: it happens in a thread of its own, which no
signal and no cancelled task can interrupt.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from airflow_provider_klaviyo.api.errors import KlaviyoError, KlaviyoStoppedError, KlaviyoUnavailableError
from airflow_provider_klaviyo.api.oauth import Tokens

__all__ = ["AccessToken", "AccessTokens", "Busy", "Lease", "TokenKeeper", "TokenStore"]

# A lease that nobody gives back ends by itself within two minutes: it lasts one.
PATIENCE_SECONDS: Final = 120.0
LONGEST_PAUSE_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 0.05
# After a failure nobody refreshes for so long, unless Klaviyo says for how long.
FAILURE_PAUSE_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token, and for how many seconds from now it may be used without asking again."""

    token: str = field(repr=False)
    good_seconds: float


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh, until it is given back or ends.

    :param refresh_token: the newest one.
    :param generation: how many pairs of tokens came before.
    :param number: of the lease.
    :param meanwhile: the access token there is, where it is still good.
    """

    refresh_token: str = field(repr=False)
    generation: int
    number: int
    meanwhile: AccessToken | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else has the lease, and there is no access token until they are done."""


class TokenStore(Protocol):
    """Keeps the newest pair of tokens of one installation for everybody who shares it."""

    def take(self, refused: str | None) -> AccessToken | Lease | Busy:
        """Return the access token; or the right to refresh, where there is none, or only the one that was refused."""

    def keep(self, lease: Lease, tokens: Tokens) -> bool:
        """Keep a new pair for good; tell whether nobody else has kept a newer one."""

    def give_back(self, lease: Lease, pause_seconds: float) -> bool:
        """Let others refresh after a pause; tell whether nobody else had the lease, or kept a pair, meanwhile."""

    def close(self) -> None:
        """Close all connections."""


class AccessTokens(Protocol):
    """Where a client gets its access tokens from."""

    def held(self) -> str | None:
        """Return the access token at hand, if there is a good one; at once."""

    def obtain(self) -> Future[str]:
        """Return an access token as soon as there is a good one."""

    def refuse(self, token: str) -> None:
        """Have an access token replaced that Klaviyo does not accept."""

    def stop(self) -> None:
        """Wait for nobody else's token any more."""

    def close(self) -> None:
        """Wait for what is under way, and close all connections."""


class TokenKeeper:
    """The access tokens of one installation in this process. Safe between threads.

    :param store: closed with this.
    :param refresh: exchanges a refresh token for a new pair, at Klaviyo.
    :param received: is told each token, before anybody uses it.
    :param clock: seconds that never run backwards.
    """

    def __init__(
        self,
        store: TokenStore,
        refresh: Callable[[str], Tokens],
        *,
        received: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._refresh = refresh
        self._received = received
        self._clock = clock
        self._lock = threading.Lock()
        self._is_stopped = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="klaviyo-tokens")
        self._held: tuple[str, float] | None = None
        self._refused: str | None = None
        self._obtaining: Future[str] | None = None
        self._unkept: tuple[Lease, Tokens] | None = None

    def held(self) -> str | None:
        """Return the access token at hand, if there is a good one; at once."""
        held = self._held
        return held[0] if held is not None and self._clock() < held[1] else None

    def obtain(self) -> Future[str]:
        """Return an access token as soon as there is a good one; to all who want it meanwhile the same.

        :raises KlaviyoTokenError: from the future, when there will be none until somebody acts.
        :raises KlaviyoUnavailableError: from the future, when Klaviyo or the store has none now.
        """
        with self._lock:
            if self._obtaining is None:
                self._obtaining = self._pool.submit(self._obtain)
            return self._obtaining

    def refuse(self, token: str) -> None:
        """Have an access token replaced that Klaviyo does not accept, unless it was replaced already."""
        with self._lock:
            if self._held is not None and self._held[0] == token:
                self._held, self._refused = None, token

    def stop(self) -> None:
        """Wait for nobody else's token any more. May be called from a signal handler."""
        # No event, whose lock the interrupted code may hold.
        self._is_stopped = True

    def close(self) -> None:
        """Wait for what is under way, so that no token is lost, and close all connections."""
        self.stop()
        self._pool.shutdown()
        try:
            self._keep_what_is_unkept()
        except KlaviyoError as error:
            log.warning("A new refresh token was not stored, and is lost: %s", error)
        finally:
            self._store.close()

    def _obtain(self) -> str:
        try:
            held = self.held()  # Whoever asked a moment too late for the one before has it here.
            if held is not None:
                return held
            found = self._found()
            self._received(found.token)
            self._held = found.token, self._clock() + found.good_seconds
        except KlaviyoError as error:
            raise error.with_traceback(None) from None
        else:
            return found.token
        finally:
            with self._lock:
                self._obtaining = None

    def _found(self) -> AccessToken:
        give_up, pause_seconds = self._clock() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS
        while self._clock() < give_up:
            self._keep_what_is_unkept()
            match self._store.take(self._refused):
                case AccessToken() as token:
                    return token
                case Lease() as lease:
                    refreshed = self._refreshed(lease)
                    if refreshed is not None:
                        return refreshed
            time.sleep(pause_seconds)
            if self._is_stopped:
                raise KlaviyoStoppedError("the task is being killed, so nobody's access token is waited for")
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
        raise KlaviyoUnavailableError("somebody else has been refreshing the access token for minutes; try again")

    def _refreshed(self, lease: Lease) -> AccessToken | None:
        """Return a new access token; None if others were quicker, so that theirs is to be taken."""
        try:
            tokens = self._refresh(lease.refresh_token)
        except KlaviyoError as error:
            is_passing = isinstance(error, KlaviyoUnavailableError)
            pause_seconds = FAILURE_PAUSE_SECONDS if error.retry_after_seconds is None else error.retry_after_seconds
            if not self._store.give_back(lease, pause_seconds if is_passing else 0.0):
                return None
            if lease.meanwhile is not None and is_passing:
                log.warning("The access token is not replaced yet, and goes on being used: %s", error)
                return lease.meanwhile
            raise
        for token in (tokens.access_token, tokens.refresh_token):
            self._received(token)
        self._unkept = lease, tokens
        if not self._keep_what_is_unkept():
            return None
        return AccessToken(tokens.access_token, tokens.expires_in - tokens.renewal_seconds)

    def _keep_what_is_unkept(self) -> bool:
        """Keep a pair that came, also if the store was down when it did; tell whether it is the newest."""
        if self._unkept is None:
            return True
        is_newest = self._store.keep(*self._unkept)
        self._unkept = None
        return is_newest
