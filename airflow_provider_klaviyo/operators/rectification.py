"""The operator that corrects what identifies people in Klaviyo."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.operators.source import SourceOperator
from airflow_provider_klaviyo.sources.source import Source
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_klaviyo.api.client import KlaviyoClient
    from airflow_provider_klaviyo.rectification.plan import Plan

__all__ = ["ProfileUpdateOperator"]


@hide_variables
class ProfileUpdateOperator(SourceOperator):
    """Give the people in a list their right e-mail addresses, phone numbers and external ids in Klaviyo.

    The identifier column says who is meant, by what Klaviyo knows of them now, best by an ``external_id``, which stays.
    What is to be true of them stands in the columns ``new_email``, ``new_phone_number`` and ``new_external_id``; where
    one is missing, NULL or empty, it stays as it is, and so does everything else of the profile. Nothing is taken away.

    The list is normalised and looked up, 100 identifiers a call. An identifier must match exactly one profile, which is
    then changed, if it is not so already: at 97 % of Klaviyo's limit a thousand profiles take 83 seconds. Rows that
    contradict one another, or want two people to have the same identifier, fail the task before anything is changed.

    Directly before it is changed, the profile is looked up by its id, and must still hold what it was found by. A
    person whose profile was merged, deleted or changed meanwhile is looked for once more.

    A retry, or another run, does it once more: who is right already is ``unchanged``.

    :param profiles, sql, sql_conn_id, parameters, path: where the list comes from, as for every `SourceOperator`; an
        item of ``profiles`` is a mapping such as ``{"external_id": "42", "new_email": "jane@example.com"}``.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param max_profiles: refuse the whole list, before anything is changed, if it matches more profiles than this;
        None for no limit.
    :param dry_run: look everyone up, say how many would be changed, and change nothing.
    :returns: ``listed`` rows, of which ``duplicates`` name somebody whom an earlier row named; the other identifiers
        counted by outcome: ``updated``, ``unchanged``, ``absent`` (no such profile), ``held`` (several profiles, or
        looks that contradict each other), ``invalid`` (see the log), ``refused`` (400), ``duplicate_profile`` (another
        profile holds a new identifier), and ``planned`` in a dry run; the ``profile_ids`` that were changed (in a dry
        run, ``planned_profile_ids``); and as ``duplicate_profiles`` which profile is in whose way: ``profile_id``,
        ``duplicate_profile_id``. Nothing personal.
    :raises AirflowFailException: when a retry cannot help: a half-filled connection, a key without the scope, a list
        that contradicts itself or matches too many profiles.
    :raises KlaviyoError, SourceUnavailableError: for trouble that a retry can mend.

    Scopes ``profiles:read`` and ``profiles:write``; ``accounts:read`` if the connection has an ``account_id``.
    Sources: https://developers.klaviyo.com/en/reference/update_profile, GDPR Art. 16.
    """

    ui_color = "#f6ecc9"

    def __init__(self, *, max_profiles: int | None = 1_000, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source.check()
        self.max_profiles = max_profiles
        self.only_plan = dry_run

    @property
    def source(self) -> Source:
        """Where the list comes from, with what is to change."""
        return replace(super().source, row_type=_change)

    def execute(self, context: Context) -> dict[str, Any]:
        """Change who is not right yet, and return the counts."""
        from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
        from airflow_provider_klaviyo.lasting import fail_for_good
        from airflow_provider_klaviyo.rectification.plan import carry_out

        with fail_for_good(), KlaviyoHook(self.klaviyo_conn_id) as hook:
            client = self._client = hook.get_conn()
            plan = self._plan(client)
            result = plan.result(None if self.only_plan else carry_out(plan, client))
        self.log_counts(result)
        return result

    def _plan(self, client: KlaviyoClient) -> Plan:
        from airflow_provider_klaviyo.rectification.plan import make_plan

        with closing(self.source.entries()) as rows:
            plan = make_plan(rows, client, max_profiles=self.max_profiles, max_invalid=self.max_invalid)
        self.log.info(
            "Rows read: %s; profiles to change: %s%s",
            f"{plan.listing.listed:,}",
            f"{len(plan.corrections):,}",
            ". A dry run: nobody is changed" if self.only_plan else "",
        )
        return plan


def _change() -> type[Any]:
    from airflow_provider_klaviyo.rectification.changes import Change

    return Change
