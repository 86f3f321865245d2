"""Operators that delete people from Klaviyo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.operators.source import DeletionSourceOperator
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.task import actor_of
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_klaviyo.api.client import KlaviyoClient
    from airflow_provider_klaviyo.api.settings import Settings
    from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
    from airflow_provider_klaviyo.deletion.work import Work
    from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

__all__ = ["ProfileDeletionOperator"]


@hide_variables
class ProfileDeletionOperator(DeletionSourceOperator):
    """Have Klaviyo delete the profiles of everyone in a list. It cannot be undone.

    The list is normalised, de-duplicated and looked up, 100 identifiers a call. Each profile found is then deleted by
    its id, one call at a time at an even pace: at 97 % of Klaviyo's limit a thousand profiles take 17 minutes. Klaviyo
    answers before it has deleted; let a `DeletionConfirmedSensor` wait for the result of this task.

    :param batch: a reference that a `DeletionPlanOperator` has returned. What is not done of that batch is deleted and
        recorded step by step, in whatever state an earlier try was killed. Templated.
    :param ledger_conn_id: of the database that keeps the plan. All tasks that share it share one pace. Templated.
    :param max_duration: of a batch; when it is over no more deletion is begun, and what remains is left to the next
        plan. None for as long as it takes.
    :param profiles, sql, sql_conn_id, parameters, path: instead of a batch, a list, as for every `SourceOperator`. It
        needs no ledger.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param max_profiles: refuse the whole list, before anything is deleted, if it matches more profiles than this;
        None for no limit.
    :param max_profiles_per_identifier: hold an identifier back if it matches more profiles than this; None for no
        limit. An external id such as ``0`` may belong to half of an account.
    :param require_export: of a list, not of a batch: the ``output_path`` of a `ProfileAccessOperator` in which everyone
        listed must have a document; otherwise nobody is deleted. Templated.
    :param dry_run: look everyone up, say what would be deleted, and delete nothing.
    :returns: of a batch, its identifiers counted by outcome, and as ``outstanding`` those still to be deleted. Of a
        list, ``listed`` rows, of which ``duplicates``; the others counted by outcome: ``requested``, ``absent``,
        ``invalid``, ``refused``, ``held``, and ``planned`` in a dry run; the ``profile_ids`` to be
        confirmed gone (in a dry run, ``planned_profile_ids`` instead); ``looked_up_at``; and whose profiles they are,
        ``account_id`` and ``klaviyo_conn_id``. Nothing personal.
    :raises AirflowFailException: when a retry cannot help: a half-filled connection, a key without the scope, a list
        that names no kind of identifier or matches too many profiles.
    :raises ExportMissingError: when somebody has no document yet; a retry helps once they have.
    :raises KlaviyoError: for trouble that a retry can mend. On Airflow 3.3 and newer the next try goes on where this
        one stopped; before, it looks the list up again and goes on with who is still there.

    Scopes ``data-privacy:write`` and ``profiles:read``; ``accounts:read`` if the connection has an ``account_id``.
    Source: https://developers.klaviyo.com/en/reference/request_profile_deletion
    """

    template_fields: Sequence[str] = (*DeletionSourceOperator.template_fields, "batch", "ledger_conn_id")
    ui_color = "#f4d9d0"

    def __init__(
        self,
        *,
        batch: Mapping[str, Any] | XComArg | None = None,
        ledger_conn_id: str = "klaviyo_ledger",
        max_duration: timedelta | None = None,
        max_profiles: int | None = 1_000,
        max_profiles_per_identifier: int | None = 5,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_duration is not None and not isinstance(max_duration, timedelta):
            raise TypeError(f"max_duration must be a timedelta, such as timedelta(hours=1), not {max_duration!r}")
        self.batch = batch
        self.ledger_conn_id = ledger_conn_id
        self.max_duration = max_duration
        self.max_profiles = max_profiles
        self.max_profiles_per_identifier = max_profiles_per_identifier
        self.only_plan = dry_run
        if batch is None:
            self.source.check()
        elif dry_run or any(one is not None for one in (self.profiles, self.sql, self.path, self.require_export)):
            raise SourceError(
                "batch=… takes neither a list (profiles=…, sql=…, path=…), nor dry_run, nor require_export: its plan "
                "had them"
            )

    def execute(self, context: Context) -> dict[str, Any]:
        """Delete who is there, and return the counts."""
        from airflow_provider_klaviyo.lasting import fail_for_good

        with fail_for_good():
            result = self._work_off(context) if self.batch is not None else self._delete_listed(context)
        self.log_counts(result)
        return result

    def _work_off(self, context: Context) -> dict[str, Any]:
        """Delete what is not done of a batch."""
        from airflow_provider_klaviyo.deletion.drain import drain
        from airflow_provider_klaviyo.hooks.ledger import open_ledger
        from airflow_provider_klaviyo.ledger.ledger import BatchReference
        from airflow_provider_klaviyo.ledger.work import LedgerBatch

        reference = BatchReference.from_json(self.batch)
        with open_ledger(self.ledger_conn_id, self.klaviyo_conn_id, actor_of(context)) as (ledger, hook):
            client = self._client = hook.get_conn()
            batch = LedgerBatch(ledger, reference)
            self.log.info("Batch %s of plan %s", reference.batch, reference.plan_id)
            self._announce_deletions(len(batch.profile_ids), client.settings)
            seconds = None if self.max_duration is None else self.max_duration.total_seconds()
            drain(batch.profile_ids, client, record=batch, seconds=seconds)
            counts = batch.counts
            if counts["planned"] and seconds is None:
                self.log.warning(
                    "%s are left to another task that has begun with them, or else to the next plan", counts["planned"]
                )
        return {"plan_id": reference.plan_id, "batch": reference.batch} | counts | {"outstanding": counts["planned"]}

    def _delete_listed(self, context: Context) -> dict[str, Any]:
        """Look the list up, and delete who is there."""
        from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

        with KlaviyoHook(self.klaviyo_conn_id) as hook:
            client = self._client = hook.get_conn()
            result = self._plan(hook).result(None) if self.only_plan else self._delete(hook, context)
        return result | {"account_id": client.settings.account_id, "klaviyo_conn_id": self.klaviyo_conn_id}

    def _delete(self, hook: KlaviyoHook, context: Context) -> dict[str, Any]:
        from airflow_provider_klaviyo.deletion.checkpoint import Checkpoint
        from airflow_provider_klaviyo.deletion.drain import drain

        client = hook.get_conn()
        checkpoint = Checkpoint(
            context.get("task_state_store"),
            self._occasion(client, context),
            _marking(client.settings),
            partial(self._look_up, hook, max_profiles=None),
            self.max_profiles,
        )
        if checkpoint.resume():
            work = checkpoint.work
            self.log.info("An earlier try got to %s of %s deletions", len(checkpoint.done), len(work.profile_ids))
        else:
            work = self._plan(hook)
            checkpoint.start(work)
        deletions = drain(work.profile_ids, client, checkpoint.done, record=checkpoint)
        result = checkpoint.work.result(deletions)
        checkpoint.finish()
        return result

    def _occasion(self, client: KlaviyoClient, context: Context) -> str:
        """Return what must be the same for a retry to go on; clearing a task raises its max_tries."""
        max_tries = getattr(context.get("ti"), "max_tries", None)
        limits = (self.max_profiles, self.max_profiles_per_identifier)
        return self.recipe(client.settings, max_tries, *limits, self.require_export)

    def _plan(self, hook: KlaviyoHook) -> Work:
        work = self._look_up(hook, max_profiles=self.max_profiles)
        number = len(work.profile_ids)
        self.log.info("Rows read: %s; profiles in Klaviyo: %s", f"{work.listed:,}", f"{number:,}")
        if self.only_plan:
            self.log.info("A dry run: nobody is deleted")
        else:
            self._announce_deletions(number, hook.get_conn().settings)
        return work

    def _look_up(self, hook: KlaviyoHook, *, max_profiles: int | None) -> Work:
        """Look the whole list up."""
        import pendulum

        from airflow_provider_klaviyo.deletion.plan import make_plan

        began_at, client = pendulum.now("UTC"), hook.get_conn()
        with closing(self.entries(hook)) as entries:
            plan = make_plan(
                (entry.raw for entry in entries),
                client,
                max_profiles=max_profiles,
                max_profiles_per_identifier=self.max_profiles_per_identifier,
                max_invalid=self.max_invalid,
                absent_looks=self.absent_looks,
            )
        return plan.work(began_at, _marking(client.settings))

    def _announce_deletions(self, number: int, settings: Settings) -> None:
        from airflow_provider_klaviyo.api.endpoints import PROFILE_DELETION
        from airflow_provider_klaviyo.deletion.progress import duration

        seconds = number * settings.interval_seconds(PROFILE_DELETION)
        self.log.info("Profiles to delete: %s, which takes about %s", f"{number:,}", duration(seconds))


def _marking(settings: Settings) -> FingerprintKeys:
    """Return the key by which a task without a ledger knows its identifiers again."""
    from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys

    return FingerprintKeys((settings.secret,))
