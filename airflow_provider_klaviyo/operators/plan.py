"""Operators that make plans of deletions, and release those that are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_klaviyo.deletion.terms import check_regulation
from airflow_provider_klaviyo.operators.source import DeletionSourceOperator
from airflow_provider_klaviyo.rendering import RendersAsWritten
from airflow_provider_klaviyo.task import actor_of, origin_of
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_klaviyo.api.settings import Settings
    from airflow_provider_klaviyo.ledger.ledger import BatchReference, Ledger

__all__ = ["DeletionPlanOperator", "DeletionPlanReleaseOperator"]

LEFTOVERS: Final = ("listed", "all", "none")


@hide_variables
class DeletionPlanOperator(DeletionSourceOperator):
    """Register a list of people in the ledger and return the batches in which to delete them. Deletes nobody.

    The list is read as a stream, normalised, de-duplicated, compared with the ledger and looked up, 75,000 identifiers
    a minute. Who was erased before and is still gone is not asked for again. Nothing of it enters Airflow: hand the
    result to `ProfileDeletionOperator` with ``.expand(batch=plan.output)``.

    Columns named ``request_id``, ``received_at`` and ``regulation`` are optional, and carry the source's own id of a
    request, when it was received (a date or a time) and what it falls under (``gdpr``, ``ccpa``, or a number of days).
    They give each request its due date; the earliest due are deleted first.

    Run again for the same DAG run, it changes nothing, unless the list holds others by now, or its limits are others:
    then what is left of the earlier plan is withdrawn.

    The current list decides. People whom an earlier run, or another DAG, has planned and not yet deleted are planned
    here too if this list names them, and deleted once; the others stay outstanding until a list names them or somebody
    withdraws their plan.

    :param profiles, sql, sql_conn_id, parameters, path: where the list comes from, as for every `SourceOperator`.
    :param klaviyo_conn_id: of Klaviyo; with its account id and a fingerprint key. Templated.
    :param ledger_conn_id: of the database that keeps the ledger. Templated.
    :param require_export: the ``output_path`` of a `ProfileAccessOperator` in which everyone listed must have a
        document; otherwise nothing is registered. Templated.
    :param regulation: of rows that name none: ``gdpr`` (one month), ``ccpa`` (45 days), or a number of days.
    :param max_profiles: a plan that matches more profiles is registered as held, and the task fails without deleting
        anybody; None for no limit.
    :param fail_when_held: False to succeed all the same, and let somebody decide: see `DeletionPlanReleaseOperator`.
    :param max_profiles_per_identifier: hold an identifier back if it matches more profiles than this; None for no
        limit.
    :param suppress_first: once the plan may be worked off, have everyone who is still to be deleted suppressed before
        the batches are returned, so that nobody of them gets marketing e-mail while they wait for their turn. 1,000
        profiles take about 83 seconds, because each is looked up by its id first. If that fails, the task does, and
        its retry goes on where it stopped.
    :param leftovers: of people whom other plans have left: ``listed``, plan those that this list names too; ``all``,
        for a source that lists each request only once, return the batches of the other plans too, and count them
        against `max_profiles`; ``none``, leave them to their plans.
    :param batch_size: profiles a batch. At 97 % of Klaviyo's limit, 500 take nine minutes. Batches are larger when
        there would be more than ``[core] max_map_length`` of them.
    :returns: references to this plan's batches, after those of other plans with ``leftovers="all"``. What the plan
        comes to is pushed as another XCom, ``plan``: ``plan_id``, ``state``, ``listed``, ``duplicates``, ``known``
        (requested or settled by an earlier plan), the others by outcome, ``profiles``, ``batches``, ``seconds`` needed,
        ``left_over`` (identifiers that other plans have left), of which ``left_over_listed`` are in this plan.
    :raises AirflowFailException: when a retry cannot help.
    :raises ExportMissingError: when somebody has no document yet; a retry helps once they have.
    :raises KlaviyoError, LedgerUnavailableError, SourceUnavailableError: for trouble that a retry can mend. Nothing of
        the plan is registered then, unless it was in suppressing.

    Scopes ``profiles:read`` and ``accounts:read``; to suppress ``profiles:write``, ``subscriptions:read`` and
    ``subscriptions:write``.
    Source: https://developers.klaviyo.com/en/reference/get_profiles
    """

    template_fields: Sequence[str] = (*DeletionSourceOperator.template_fields, "ledger_conn_id")
    ui_color = "#e8e3f1"

    def __init__(
        self,
        *,
        ledger_conn_id: str = "klaviyo_ledger",
        regulation: str = "gdpr",
        max_profiles: int | None = 1_000,
        fail_when_held: bool = True,
        max_profiles_per_identifier: int | None = 5,
        suppress_first: bool = False,
        batch_size: int = 500,
        leftovers: str = "listed",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source.check()
        if leftovers not in LEFTOVERS:
            raise ValueError(f"leftovers must be one of {', '.join(LEFTOVERS)}, not {leftovers!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        check_regulation(regulation)
        self.ledger_conn_id = ledger_conn_id
        self.regulation = regulation
        self.max_profiles = max_profiles
        self.fail_when_held = fail_when_held
        self.max_profiles_per_identifier = max_profiles_per_identifier
        self.suppress_first = suppress_first
        self.batch_size = batch_size
        self.leftovers = leftovers

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Read, look up, register, and return the batches."""
        from airflow_provider_klaviyo.hooks.ledger import open_ledger
        from airflow_provider_klaviyo.lasting import fail_for_good
        from airflow_provider_klaviyo.ledger.confirmation import confirm_leftovers
        from airflow_provider_klaviyo.ledger.planning import Rules, register_plan
        from airflow_provider_klaviyo.ledger.suppression import suppress_planned

        with (
            fail_for_good(),
            open_ledger(self.ledger_conn_id, self.klaviyo_conn_id, actor_of(context)) as (ledger, hook),
        ):
            most = conf.getint("core", "max_map_length", fallback=1024)
            others = self.leftovers == "all"
            rules = Rules(
                regulation=self.regulation,
                max_profiles=self.max_profiles,
                max_profiles_per_identifier=self.max_profiles_per_identifier,
                max_invalid=self.max_invalid,
                batch_size=self.batch_size,
                most_batches=most - (len(ledger.outstanding_batches(but="", most=most // 2)) if others else 0),
                leftovers=self.leftovers,
                absent_looks=self.absent_looks,
            )
            client = hook.get_conn()
            confirm_leftovers(ledger, client)
            limits = (self.max_profiles, self.max_profiles_per_identifier, self.regulation, self.leftovers)
            recipe = self.recipe(client.settings, *limits)
            made_by = {"origin": origin_of(context), "recipe": recipe}
            plan = register_plan(partial(self.entries, hook), client, ledger, rules, **made_by)
            own = ledger.batches_of(plan["plan_id"])
            earlier = ledger.outstanding_batches(but=plan["plan_id"], most=max(0, most - len(own))) if others else []
            summary = self._summary(plan, ledger, client.settings)
            context["ti"].xcom_push(key="plan", value=summary)
            self._announce(summary, earlier)
            if self.fail_when_held:
                ledger.open_plan(plan["plan_id"])
            if self.suppress_first:
                suppress_planned(ledger, plan["plan_id"], client)
        return [reference.to_json() for reference in [*earlier, *own]]

    def _summary(self, plan: Mapping[str, Any], ledger: Ledger, settings: Settings) -> dict[str, Any]:
        from airflow_provider_klaviyo.api.endpoints import PROFILE_DELETION

        names = ("plan_id", "account_id", "state", "listed", "duplicates", "known", "profiles", "batches")
        seconds = round(plan["profiles"] * settings.interval_seconds(PROFILE_DELETION))
        left = ledger.left_over(but=plan["plan_id"])
        return (
            {name: plan[name] for name in names}
            | ledger.counts([plan["plan_id"]])
            | {"seconds": seconds, "left_over": left.people, "left_over_listed": left.listed}
        )

    def _announce(self, summary: Mapping[str, Any], earlier: Sequence[BatchReference]) -> None:
        from airflow_provider_klaviyo.deletion.progress import duration

        self.log.info(
            "Plan %s: rows read: %s; profiles to delete: %s, in %s batches, which takes about %s",
            summary["plan_id"],
            f"{summary['listed']:,}",
            f"{summary['profiles']:,}",
            f"{summary['batches']:,}",
            duration(summary["seconds"]),
        )
        left, listed = summary["left_over"], summary["left_over_listed"]
        if earlier:
            profiles = sum(reference.size for reference in earlier)
            self.log.info("Other plans have left %s profiles to delete; they come first", f"{profiles:,}")
        elif left:
            self.log.warning(
                "%s identifiers left by other plans, %s of them still listed, %s left alone: those stay outstanding "
                "until a list names them or somebody withdraws their plan",
                f"{left:,}",
                f"{listed:,}",
                f"{left - listed:,}",
            )


@hide_variables
class DeletionPlanReleaseOperator(RendersAsWritten, BaseOperator):
    """Let a plan be worked off that is held because it matches more profiles than `max_profiles`. Deletes nobody.

    :param plan: what a `DeletionPlanOperator` has returned (``plan.output``), or a ``plan_id``. Templated.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param ledger_conn_id: of the database that keeps the ledger. Templated.
    :param suppress_first: have everyone in it suppressed as soon as it is released, as `DeletionPlanOperator` does.
    :raises AirflowFailException: when there is no such plan, or it was replaced meanwhile.
    :raises KlaviyoError: when not everyone could be suppressed; the plan is released, and the retry goes on.
    """

    template_fields: Sequence[str] = ("plan", "klaviyo_conn_id", "ledger_conn_id")
    ui_color = "#e8e3f1"

    def __init__(
        self,
        *,
        plan: str | Sequence[Mapping[str, Any]] | XComArg,
        klaviyo_conn_id: str = "klaviyo_default",
        ledger_conn_id: str = "klaviyo_ledger",
        suppress_first: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        self.klaviyo_conn_id = klaviyo_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.suppress_first = suppress_first

    def execute(self, context: Context) -> None:
        """Release the plan; one that is not held stays as it is."""
        from airflow_provider_klaviyo.hooks.ledger import open_ledger
        from airflow_provider_klaviyo.lasting import fail_for_good
        from airflow_provider_klaviyo.ledger.ledger import plan_ids_of
        from airflow_provider_klaviyo.ledger.suppression import suppress_planned

        with (
            fail_for_good(),
            open_ledger(self.ledger_conn_id, self.klaviyo_conn_id, actor_of(context)) as (ledger, hook),
        ):
            for plan_id in plan_ids_of(self.plan):
                ledger.release(plan_id)
                self.log.info("Plan %s may be worked off", plan_id)
                if self.suppress_first:
                    suppress_planned(ledger, plan_id, hook.get_conn())
