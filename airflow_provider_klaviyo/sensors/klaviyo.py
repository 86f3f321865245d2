"""Sensors that wait for Klaviyo."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_klaviyo.rendering import RendersAsWritten, as_given
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.lists import listed
from airflow_provider_klaviyo.sources.queries import check_query
from airflow_provider_klaviyo.sources.source import Source
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_klaviyo.deletion.confirm import Confirmation

__all__ = ["DeletionConfirmedSensor", "Seen"]

# The triggerer knows nothing of the ledger: one person whom Klaviyo never deletes would keep everybody else
# unconfirmed, and their identifiers in the ledger, until time is up. This has them wiped within hours, at the price of
# a worker's start four times a day.
REPORT_SECONDS: Final = 6 * 3_600.0
TIME_OUTS: Final = (AirflowSensorTimeout, AirflowTaskTimeout)


class Seen(NamedTuple):
    """What the last look has seen.

    :param outstanding: how many profiles were still there; None before the first look.
    :param watched: profiles to ask for next.
    :param since: when the first of them was looked up, or its deletion requested.
    """

    outstanding: int | None
    watched: list[str]
    since: datetime


@hide_variables
class DeletionConfirmedSensor(RendersAsWritten, BaseSensorOperator):
    """Wait until the last of the deleted profiles is gone from Klaviyo.

    Klaviyo answers a deletion before it has happened and never says when it has; minutes are usual, and up to 14 days
    have been heard of. The pauses between two looks grow from about a minute to half an hour, each look asks only for
    what is outstanding, 100 profiles a call, and between looks no worker is held. In the triggerer at most 100 profiles
    of a plan are watched; every six hours a worker looks at all that are outstanding, and tells the ledger who is gone.

    A person who was deleted can come back under a new profile, when a shop syncs or a form is filled in. That is told
    from a deletion that has not happened, and counted as ``reappeared``.

    :param plan: what to wait for: all deletions of a plan, given as what a `DeletionPlanOperator` has returned
        (``plan.output``), or as a ``plan_id``. A plan may be of any size: the ledger knows what is outstanding, and is
        told who is gone. Templated.
    :param batch: instead, one batch: one of the references that a `DeletionPlanOperator` has returned. Templated.
    :param ledger_conn_id: of the database that keeps the ledger. Templated.
    :param profiles: instead, without a ledger: the result of a `ProfileDeletionOperator` (``delete.output``, mapped or
        not), its ``profile_ids``, or what that operator takes. Only the result says when the profiles were looked up,
        which is what a person who came back within seconds is known by. Templated; not shown in the rendered template.
    :param sql: a query for the source's identifiers, as the operator takes it. It is read once everything is gone, to
        see who came back; without it only identifiers in ``profiles`` can be seen to. Templated.
    :param sql_conn_id: of the database to ask. Templated.
    :param parameters: of the query. Templated.
    :param columns: our names of the query's columns that have others, as the operator takes them.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :param poke_interval: seconds before the second look.
    :param exponential_backoff: let the pauses grow.
    :param max_wait: that the pauses grow to.
    :param timeout: after which to give up; 14 days.
    :param mode: ``reschedule``, or ``poke`` to hold a worker while waiting for something short.
    :returns: of a plan or a batch, its identifiers counted by outcome, and as ``outstanding`` those that are still to
        be deleted. Of ``profiles``, how many have ``reappeared``, which is how many new profiles hold a listed
        identifier, and how many are ``confirmed`` gone, which is all the others. Who was who is not known without a
        ledger, so somebody who was absent and has signed up since counts as one who came back, and ``confirmed`` is
        rather too low than too high.
    :raises AirflowSensorTimeout: when time is up, with how many are outstanding and since when; with ``soft_fail``
        the task is skipped instead.
    :raises AirflowFailException: when a retry cannot help, such as when the profiles were deleted on another account.

    Scope ``profiles:read``; ``accounts:read`` if the connection has an ``account_id``.
    Source: https://developers.klaviyo.com/en/reference/get_profiles
    """

    template_fields: Sequence[str] = (
        "plan",
        "batch",
        "ledger_conn_id",
        "profiles",
        "sql",
        "sql_conn_id",
        "parameters",
        "klaviyo_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json"}
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        plan: str | Sequence[Mapping[str, Any]] | XComArg | None = None,
        batch: Mapping[str, Any] | XComArg | None = None,
        ledger_conn_id: str = "klaviyo_ledger",
        profiles: str | Mapping[str, Any] | Iterable[str | Mapping[str, Any]] | XComArg | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        columns: Mapping[str, str] | None = None,
        klaviyo_conn_id: str = "klaviyo_default",
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: timedelta | float = 60,
        exponential_backoff: bool = True,
        max_wait: timedelta | float | None = timedelta(minutes=30),
        timeout: timedelta | float = timedelta(days=14),
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            poke_interval=poke_interval,
            exponential_backoff=exponential_backoff,
            max_wait=max_wait,
            timeout=timeout,
            mode=mode,
            **kwargs,
        )
        if sum(one is not None for one in (plan, batch, profiles)) != 1:
            raise SourceError("say what to wait for: exactly one of plan=…, batch=… and profiles=…")
        check_query(sql, sql_conn_id, parameters)
        if columns is not None and sql is None:
            raise SourceError("columns belongs to sql=…, which is missing")
        self.plan = plan
        self.batch = batch
        self.ledger_conn_id = ledger_conn_id
        self.profiles: Any = as_given(self, profiles)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.columns = columns
        self.klaviyo_conn_id = klaviyo_conn_id
        self.deferrable = deferrable
        self._confirmation: Confirmation | None = None
        self._seen: Seen | None = None

    def execute(self, context: Context) -> Any:
        """Wait in the triggerer, or the way that ``mode`` says, and return the counts."""
        if self.deferrable:
            counts = self._try_to_look(context)
            return counts if counts is not None else self._wait(time.time() + self.timeout)
        try:
            with self._only_time_outs_skip():
                return super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(self._overdue()) from error

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the triggerer has waited."""
        with self._only_time_outs_skip():
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _only_time_outs_skip(self) -> Iterator[None]:
        """Let ``soft_fail`` skip a task whose time is up, and not hide an error that somebody has to correct."""
        try:
            yield
        except AirflowSkipException as skip:
            # Airflow 2.11 knows a time-out of the triggerer by its text only.
            is_time_out = isinstance(skip.__cause__, TIME_OUTS) or str(skip.__cause__) == "Trigger/execution timeout"
            if not self.soft_fail or skip.__cause__ is None or is_time_out:
                raise
            raise skip.__cause__ from None

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once. A look without a proper answer is followed by the next one, until time is up."""
        counts = self._try_to_look(context)
        return PokeReturnValue(counts is not None, counts)

    def execute_complete(self, context: Context, event: object = None) -> dict[str, int] | None:
        """Go on from what the trigger found."""
        from airflow_provider_klaviyo.api.errors import KlaviyoError

        match event:
            case {"status": "gone", "since": str(since), "deadline": float(deadline)}:
                counts = self._try_to_look(context, datetime.fromisoformat(since), outstanding=[])
                return counts if counts is not None else self._wait_on(deadline, since)
            case {"status": "progress", "profile_ids": list(ids), "since": str(since), "deadline": float(deadline)}:
                self._seen = Seen(None, ids, datetime.fromisoformat(since))  # To go on with if the look brings nothing.
                counts = self._try_to_look(context, self._seen.since)
                return counts if counts is not None else self._wait_on(deadline, since)
            case {"status": "timeout", "outstanding": int(outstanding), "since": str(since)}:
                counts = self._try_to_look(context) if self.profiles is None else None
                if counts is not None:
                    return counts
                raise AirflowSensorTimeout(self._overdue(outstanding, since))
            case {"status": "failed", "message": str(message), "may_retry": bool(may_retry)}:
                raise (KlaviyoError if may_retry else AirflowFailException)(message)
        raise ValueError("the trigger sent an event that it never sends; nothing is confirmed")

    def _try_to_look(
        self, context: Context, since: datetime | None = None, outstanding: list[str] | None = None
    ) -> dict[str, int] | None:
        from airflow_provider_klaviyo.api.errors import (
            KlaviyoAnswerError,
            KlaviyoAuthenticationError,
            KlaviyoUnavailableError,
        )
        from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError

        try:
            of_ledger = self.profiles is None
            counts = self._look_in_ledger(context) if of_ledger else self._look(context, since, outstanding)
        # Of a key that is accepted nowhere, a task has failed for good by now.
        except (
            KlaviyoUnavailableError,
            KlaviyoAnswerError,
            KlaviyoAuthenticationError,
            LedgerUnavailableError,
        ) as error:
            if self.deferrable and (self._seen is None or not self._seen.watched):
                raise  # It is not known yet which profiles to wait for, and a trigger gets nothing else.
            self.log.warning("This look brought nothing, the next one may: %s", error)
            return None
        if counts is None and self._seen is not None:
            self.log.info("%s profiles are still there", f"{self._seen.outstanding or 0:,}")
        elif counts is not None:
            shown = (f"{number:,} {name}" for name, number in counts.items() if number)
            self.log.info("All gone: %s", ", ".join(shown) or "there was nobody to wait for")
        return counts

    def _look(
        self, context: Context, since: datetime | None = None, outstanding: list[str] | None = None
    ) -> dict[str, int] | None:
        """Look without a ledger: what is watched is kept here, and in the trigger."""
        from airflow_provider_klaviyo.deletion.confirm import Confirmation
        from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
        from airflow_provider_klaviyo.lasting import fail_for_good

        with fail_for_good(), KlaviyoHook(self.klaviyo_conn_id) as hook:
            if self._confirmation is None:
                self._confirmation = Confirmation.of(
                    listed(self.profiles), since or self._first_look(context), self._source
                )
                self._confirmation.outstanding = outstanding
            confirmation = self._confirmation
            try:
                client = hook.get_conn()
                confirmation.check_account(client.settings.account_id, self.klaviyo_conn_id)
                return confirmation.look(client)
            finally:
                number = None if confirmation.outstanding is None else len(confirmation.outstanding)
                self._seen = Seen(number, confirmation.watched, confirmation.since)

    def _look_in_ledger(self, context: Context) -> dict[str, int] | None:
        """Look with a ledger, which knows what is outstanding, and is told who is gone."""
        from airflow_provider_klaviyo.hooks.ledger import open_ledger
        from airflow_provider_klaviyo.lasting import fail_for_good
        from airflow_provider_klaviyo.ledger.confirmation import LedgerConfirmation
        from airflow_provider_klaviyo.task import actor_of

        with (
            fail_for_good(),
            open_ledger(self.ledger_conn_id, self.klaviyo_conn_id, actor_of(context)) as (ledger, hook),
        ):
            confirmation = LedgerConfirmation(ledger, *self._plans())
            since = confirmation.since or self._first_look(context)
            self._seen = Seen(None, confirmation.sample, since)
            counts = confirmation.look(hook.get_conn())
            self._seen = Seen(confirmation.outstanding, confirmation.sample, since)
        return None if counts is None else counts | {"outstanding": counts["planned"]}

    def _plans(self) -> tuple[list[str], int | None]:
        """Return the plans to wait for, and the number of the batch if it is only one."""
        from airflow_provider_klaviyo.ledger.ledger import BatchReference, plan_ids_of

        if self.batch is None:
            return plan_ids_of(self.plan), None
        reference = BatchReference.from_json(self.batch)
        return [reference.plan_id], reference.batch

    def _source(self) -> Iterable[object]:
        if self.sql is None or self.sql_conn_id is None:
            return ()
        query = (self.sql, self.sql_conn_id, self.parameters)
        return Source(None, *query, columns=self.columns).rows()

    def _first_look(self, context: Context) -> datetime:
        """Return when this task first looked: now, unless it was rescheduled before."""
        if self.mode == "reschedule" and not self.deferrable:
            ti = context["ti"]
            first = ti.get_first_reschedule_date(context) if hasattr(ti, "get_first_reschedule_date") else ti.start_date
            if first is not None:
                return first
        import pendulum

        return pendulum.now("UTC")

    def _wait_on(self, deadline: float, since: str) -> NoReturn:
        """Go back to the triggerer, unless time is up: past its deadline, a trigger does not pause.

        Its first pause is as long as the wait so far: somebody who is gone by the id, but not yet by the address, would
        wake a worker every minute for days.
        """
        if time.time() >= deadline:
            raise AirflowSensorTimeout(self._overdue(since=since))
        self._wait(deadline, time.time() - datetime.fromisoformat(since).timestamp())

    def _wait(self, deadline: float, waited_seconds: float = 0.0) -> NoReturn:
        from airflow_provider_klaviyo.triggers.klaviyo import DeletionConfirmedTrigger

        seen = cast("Seen", self._seen)
        shortest, longest = max(1.0, self.poke_interval), self.poke_interval
        if self.exponential_backoff:
            longest = self.max_wait.total_seconds() if self.max_wait is not None else self.timeout
        longest = max(1.0, longest)
        self.defer(
            trigger=DeletionConfirmedTrigger(
                klaviyo_conn_id=self.klaviyo_conn_id,
                profile_ids=seen.watched,
                since=seen.since.isoformat(),
                deadline=deadline,
                pause_seconds=max(shortest, min(waited_seconds, longest)),
                longest_pause_seconds=longest,
                report_seconds=REPORT_SECONDS if self.profiles is None else None,
            ),
            method_name="execute_complete",
            # The trigger keeps the time itself, and says how many are outstanding; this is for a triggerer that died.
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + 600),
        )

    def _overdue(self, outstanding: int | None = None, since: str | None = None) -> str:
        if self._seen is not None:
            since = self._seen.since.isoformat()
            outstanding = outstanding if self._seen.outstanding is None else self._seen.outstanding
        number = f"{outstanding:,}" if outstanding else "An unknown number of"  # 0 is no reason to wait.
        if self.profiles is None:
            again = "a plan that lists them 14 days after they were requested has them requested again"
        else:
            again = "clear the deletion task to request them again"
        return (
            f"{number} profiles are still in Klaviyo, although their deletion was requested; the wait began with what "
            f"was looked up, or requested, at {since}. Klaviyo may be slow: clear this task to wait again. If they "
            f"stay, {again}, or ask Klaviyo's support"
        )
