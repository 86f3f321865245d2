"""Operators that delete people from Klaviyo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_klaviyo.concealed import ConcealedField
from airflow_provider_klaviyo.sources import check_source, rows

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_klaviyo.api.client import KlaviyoClient
    from airflow_provider_klaviyo.deletion.plan import Plan
    from airflow_provider_klaviyo.deletion.work import Work

__all__ = ["ProfileDeletionOperator"]


class ProfileDeletionOperator(BaseOperator):
    """Have Klaviyo delete the profiles of everyone in a list. It cannot be undone.

    The list is normalised, de-duplicated and looked up, 100 identifiers a call. Each profile found is then deleted by
    its id, one call at a time at an even pace: at 95 % of Klaviyo's limit a thousand profiles take 18 minutes. Klaviyo
    answers before it has deleted; let a `DeletionConfirmedSensor` wait for the result of this task.

    :param profiles: whom to delete: strings, and mappings of one kind such as ``{"email": …}``,
        ``{"phone_number": …}``, ``{"id": …}`` or ``{"external_id": …}``. Templated; not shown in the rendered template.
    :param sql: instead of ``profiles``, a query that returns a column of one of these names. It is read in the worker,
        so that no identifier goes through Airflow. Templated, also as the name of an ``.sql`` file.
    :param sql_conn_id: of the database to ask; any connection whose hook is a `DbApiHook`. Templated.
    :param parameters: of the query, in the form that the database's driver takes. Templated.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param max_profiles: refuse the whole list, before anything is deleted, if it matches more profiles than this;
        None for no limit.
    :param max_profiles_per_identifier: hold an identifier back if it matches more profiles than this; None for no
        limit. An external id such as ``0`` may belong to half of an account.
    :param dry_run: look everyone up, say what would be deleted, and delete nothing.
    :returns: ``listed`` rows, of which ``duplicates``; the others counted by outcome: ``requested``, ``absent``,
        ``invalid``, ``refused``, ``held``, and ``planned`` in a dry run; the ``profile_ids`` to be
        confirmed gone (in a dry run, ``planned_profile_ids`` instead); ``looked_up_at``; and whose profiles they are,
        ``account_id`` and ``klaviyo_conn_id``. Nothing personal.
    :raises AirflowFailException: when a retry cannot help: a half-filled connection, a key without the scope, a list
        that names no kind of identifier or matches too many profiles.
    :raises KlaviyoError: for trouble that a retry can mend. On Airflow 3.3 and newer the next try goes on where this
        one stopped; before, it looks the list up again and goes on with who is still there.

    Scopes ``data-privacy:write`` and ``profiles:read``; ``accounts:read`` if the connection has an ``account_id``.
    Source: https://developers.klaviyo.com/en/reference/request_profile_deletion
    """

    template_fields: Sequence[str] = ("profiles", "sql", "sql_conn_id", "parameters", "klaviyo_conn_id")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json"}
    ui_color = "#f4d9d0"

    profiles: Any = ConcealedField()

    def __init__(
        self,
        *,
        profiles: str | Mapping[str, Any] | Iterable[str | Mapping[str, Any]] | XComArg | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        klaviyo_conn_id: str = "klaviyo_default",
        max_profiles: int | None = 1_000,
        max_profiles_per_identifier: int | None = 5,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_source(profiles, sql, sql_conn_id, parameters)
        self.profiles = profiles
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.klaviyo_conn_id = klaviyo_conn_id
        self.max_profiles = max_profiles
        self.max_profiles_per_identifier = max_profiles_per_identifier
        self.only_plan = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Look the list up, delete who is there, and return the counts."""
        from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
        from airflow_provider_klaviyo.lasting import fail_for_good

        with fail_for_good(), KlaviyoHook(self.klaviyo_conn_id) as hook:
            client = hook.get_conn()
            result = self._plan(client).result(None) if self.only_plan else self._delete(client, context)
            result |= {"account_id": client.settings.account_id, "klaviyo_conn_id": self.klaviyo_conn_id}
        counts = (f"{number:,} {name}" for name, number in result.items() if number and isinstance(number, int))
        self.log.info("Done: %s", ", ".join(counts) or "nobody was listed")
        return result

    def _delete(self, client: KlaviyoClient, context: Context) -> dict[str, Any]:
        from airflow_provider_klaviyo.deletion.checkpoint import Checkpoint
        from airflow_provider_klaviyo.deletion.drain import drain

        checkpoint = Checkpoint(context.get("task_state_store"), self._occasion(client, context))
        work = checkpoint.resume()
        if work is None:
            work = self._plan(client)
            checkpoint.start(work)
        else:
            self.log.info("An earlier try got to %s of %s deletions", len(checkpoint.done), len(work.profile_ids))
        result = work.result(drain(work.profile_ids, client, checkpoint.done, checkpoint.record))
        checkpoint.finish()
        return result

    def _occasion(self, client: KlaviyoClient, context: Context) -> str:
        """Return a keyed digest of what must be the same for a retry to go on; clearing a task raises its max_tries."""
        from hashlib import blake2b

        ti = context.get("ti")
        query = (self.sql, self.sql_conn_id, self.parameters)
        limits = (self.max_profiles, self.max_profiles_per_identifier)
        same = repr((getattr(ti, "max_tries", None), query, limits, client.settings.quota))
        return blake2b(same.encode(), key=client.settings.api_key.encode()[:64], digest_size=16).hexdigest()

    def _plan(self, client: KlaviyoClient) -> Work:
        import pendulum

        from airflow_provider_klaviyo.deletion.plan import make_plan

        began_at = pendulum.now("UTC")
        with closing(rows(self.profiles, self.sql, self.sql_conn_id, self.parameters)) as listed:
            plan = make_plan(
                listed,
                client,
                max_profiles=self.max_profiles,
                max_profiles_per_identifier=self.max_profiles_per_identifier,
            )
        self._announce(plan, client)
        return plan.work(began_at)

    def _announce(self, plan: Plan, client: KlaviyoClient) -> None:
        from airflow_provider_klaviyo.api.endpoints import PROFILE_DELETION
        from airflow_provider_klaviyo.deletion.progress import duration

        number = len(plan.profile_ids)
        if self.only_plan:
            then = "A dry run: nobody is deleted"
        elif number == 0:
            then = "There is nothing to delete"
        else:
            seconds = number * client.settings.interval_seconds(PROFILE_DELETION)
            then = f"Deleting them takes about {duration(seconds)}"
        self.log.info("Rows read: %s; profiles in Klaviyo: %s. %s", f"{plan.listed:,}", f"{number:,}", then)
