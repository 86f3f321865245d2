"""The trigger that waits for deletions without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_klaviyo.api.errors import (
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.deletion.progress import duration
from airflow_provider_klaviyo.hooks.sharing import ClientShare
from airflow_provider_klaviyo.lasting import lasting_errors
from airflow_provider_klaviyo.tracebacks import hide_variables

__all__ = ["DeletionConfirmedTrigger"]

PATIENCE_SECONDS: Final = 60.0
PASSING: Final = (KlaviyoUnavailableError, KlaviyoAuthenticationError)
FAILURES_IN_A_ROW: Final = 20
# Airflow waits ten minutes beyond the deadline, and then ends the task without asking how many are left.
LAST_LOOK_SECONDS: Final = 300.0


class DeletionConfirmedTrigger(BaseTrigger):
    """Fires when the last of these profiles is gone from Klaviyo, when the time is up, or when it cannot go on.

    Where it is asked to report, it also fires when it has waited that long, for a worker to record who is gone so far
    and to begin the wait anew.

    Airflow keeps a trigger's arguments as plain text and logs its event, so both hold profile ids, counts and times
    only. Pauses double from look to look. Twenty looks in a row without a proper answer are too many.

    :param klaviyo_conn_id: of Klaviyo.
    :param profile_ids: to wait for.
    :param since: ISO time of the first look; handed back in the event.
    :param deadline: Unix time after which to stop waiting.
    :param pause_seconds: before the first look.
    :param longest_pause_seconds: that the pauses grow to.
    :param report_seconds: after which to report at the next look that is answered; None for never. In the last
        ``pause_seconds`` before the deadline there is no report, as the end of the time is one.
    """

    def __init__(
        self,
        *,
        klaviyo_conn_id: str,
        profile_ids: Sequence[str],
        since: str,
        deadline: float,
        pause_seconds: float,
        longest_pause_seconds: float,
        report_seconds: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.klaviyo_conn_id = klaviyo_conn_id
        self.profile_ids = list(profile_ids)
        self.since = since
        self.deadline = deadline
        self.pause_seconds = pause_seconds
        self.longest_pause_seconds = longest_pause_seconds
        self.report_seconds = report_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments, as Airflow stores them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "klaviyo_conn_id": self.klaviyo_conn_id,
                "profile_ids": self.profile_ids,
                "since": self.since,
                "deadline": self.deadline,
                "pause_seconds": self.pause_seconds,
                "longest_pause_seconds": self.longest_pause_seconds,
                "report_seconds": self.report_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again, and yield the one event."""
        async with ClientShare(self.klaviyo_conn_id) as share:
            event = await self._wait(share)
        yield event

    async def _wait(self, share: ClientShare) -> TriggerEvent:
        outstanding, pause_seconds, failures = self.profile_ids, self.pause_seconds, 0
        began = time.time()
        while True:
            await asyncio.sleep(max(0.0, min(pause_seconds, self.deadline - time.time())))
            pause_seconds = min(2 * pause_seconds, self.longest_pause_seconds)
            try:
                outstanding, failures = await self._look(share, outstanding), 0
            except KlaviyoError as error:
                failures += 1
                is_passing = isinstance(error, PASSING) and not isinstance(error, lasting_errors())
                if not is_passing or failures >= FAILURES_IN_A_ROW:
                    return self._failed(error)
                self.log.warning("Look %s in a row without a proper answer: %s", failures, error)
            if not outstanding:
                return self._event("gone", outstanding)
            if time.time() >= self.deadline:
                return self._event("timeout", outstanding)
            if not failures and self._is_to_report(began):  # A report would begin the count of failures anew.
                return self._event("progress", outstanding, profile_ids=outstanding)
            self.log.info(
                "%s of %s profiles are still there; looking again in %s",
                f"{len(outstanding):,}",
                f"{len(self.profile_ids):,}",
                duration(pause_seconds),
            )

    def _is_to_report(self, began: float) -> bool:
        if self.report_seconds is None:
            return False
        return began + self.report_seconds <= time.time() <= self.deadline - self.pause_seconds

    @hide_variables
    async def _look(self, share: ClientShare, profile_ids: Sequence[str]) -> list[str]:
        """Look once. In a crowd that takes as long as it takes; only near the end of the time it is given up."""
        try:
            async with asyncio.timeout(max(LAST_LOOK_SECONDS, self.deadline - time.time())), share.client() as client:
                from airflow_provider_klaviyo.deletion.confirm import still_there

                return await client.run(still_there(profile_ids, patience_seconds=PATIENCE_SECONDS))
        except TimeoutError:
            raise KlaviyoUnavailableError("the time was up before Klaviyo gave an answer") from None

    def _event(self, status: str, outstanding: Sequence[str], **more: Any) -> TriggerEvent:
        payload = {"status": status, "outstanding": len(outstanding), "since": self.since, "deadline": self.deadline}
        return TriggerEvent(payload | more)

    def _failed(self, error: KlaviyoError) -> TriggerEvent:
        may_retry = not isinstance(error, lasting_errors())
        return self._event("failed", self.profile_ids, message=str(error), may_retry=may_retry)
