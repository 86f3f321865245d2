"""The operator that has people sent no marketing e-mail any more."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.operators.source import SourceOperator
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_klaviyo.api.client import KlaviyoClient
    from airflow_provider_klaviyo.deletion.plan import Plan
    from airflow_provider_klaviyo.restriction.listed import Restriction

__all__ = ["ProfileSuppressionOperator"]


@hide_variables
class ProfileSuppressionOperator(SourceOperator):
    """Suppress the people in a list in Klaviyo: they get no marketing e-mail any more, whatever they have agreed to.

    It is neither erasing nor forgetting: the profile stays, and when the profile goes, its suppression goes with it.
    Text messages and push messages are not covered.

    The list is normalised and looked up, 100 identifiers a call. Klaviyo suppresses addresses rather than profiles, and
    makes a profile of an address that no profile has. So each profile found is looked up once more by its id, directly
    before its address is sent. Only if it itself holds a listed identifier, its own address of that moment is given to
    a job, 100 a job; the task waits until all jobs are complete. At 97 % of Klaviyo's limit a thousand profiles take 83
    seconds. A person whose profile was merged, deleted or changed meanwhile is looked for once more.

    :param profiles, sql, sql_conn_id, parameters, path: where the list comes from, as for every `SourceOperator`.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param max_profiles: refuse the whole list, before anybody is suppressed, if it matches more profiles than this;
        None for no limit.
    :param max_profiles_per_identifier: hold an identifier back if it matches more profiles than this; None for no
        limit.
    :param dry_run: look everyone up, say how many would be suppressed, and suppress nobody.
    :returns: ``listed`` rows, of which ``duplicates``; the other identifiers counted by outcome: ``suppressed`` (before
        or now), ``without_email`` (nothing to suppress), ``absent``, ``invalid``, ``refused``, ``held`` (too many
        profiles, looks that contradict each other, or an address that a profile shares which is not listed), and
        ``planned`` in a dry run; and the ``profile_ids`` that are suppressed (in a dry run, ``planned_profile_ids``).
        An identifier that matches several profiles counts as ``refused`` if one of them was, or else as ``suppressed``
        if one of them is. Nothing personal.
    :raises AirflowFailException: when a retry cannot help: a half-filled connection, a key without a scope, a list that
        matches too many profiles.
    :raises KlaviyoError, SourceUnavailableError: for trouble that a retry can mend, also a job that Klaviyo cancels or
        does not end. The retry suppresses everyone once more, which does no harm.

    Scopes ``profiles:read``, ``profiles:write``, ``subscriptions:read`` and ``subscriptions:write``; ``accounts:read``
    if the connection has an ``account_id``.
    Sources: https://developers.klaviyo.com/en/reference/bulk_suppress_profiles, GDPR Art. 18 and 21(3).
    """

    ui_color = "#e5e5e5"

    def __init__(
        self,
        *,
        max_profiles: int | None = 1_000,
        max_profiles_per_identifier: int | None = 5,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source.check()
        self.max_profiles = max_profiles
        self.max_profiles_per_identifier = max_profiles_per_identifier
        self.only_plan = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Suppress who is there, and return the counts."""
        from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
        from airflow_provider_klaviyo.lasting import fail_for_good
        from airflow_provider_klaviyo.restriction.result import result_of

        with fail_for_good(), KlaviyoHook(self.klaviyo_conn_id) as hook:
            client = self._client = hook.get_conn()
            plan = self._plan(client)
            result = result_of(plan, None if self.only_plan else self._suppress(plan, client))
        self.log_counts(result)
        return result

    def _suppress(self, plan: Plan, client: KlaviyoClient) -> Restriction:
        from airflow_provider_klaviyo.restriction.listed import suppress_listed

        return suppress_listed(plan, client, max_profiles_per_identifier=self.max_profiles_per_identifier)

    def _plan(self, client: KlaviyoClient) -> Plan:
        from airflow_provider_klaviyo.deletion.plan import make_plan

        with closing(self.source.rows()) as listed:
            plan = make_plan(
                listed,
                client,
                max_profiles=self.max_profiles,
                max_profiles_per_identifier=self.max_profiles_per_identifier,
                max_invalid=self.max_invalid,
                purpose="suppressed",
            )
        self.log.info(
            "Rows read: %s; profiles to suppress: %s%s",
            f"{plan.listed:,}",
            f"{len(plan.profile_ids):,}",
            ". A dry run: nobody is suppressed" if self.only_plan else "",
        )
        return plan
