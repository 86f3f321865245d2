"""The operator that looks again, weeks later, for people who were erased."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.operators.source import SourceOperator
from airflow_provider_klaviyo.task import actor_of
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["DeletionRecheckOperator"]


@hide_variables
class DeletionRecheckOperator(SourceOperator):
    """Look again for people who were confirmed gone: a shop's sync or a form may have brought them back.

    The ledger knows them by fingerprint only, so that the list must be given once more. Who came back is recorded as
    ``reappeared``; the next plan that lists them has them deleted again.

    :param profiles, sql, sql_conn_id, parameters, path: where the list comes from, as for every `SourceOperator`.
    :param recheck_after: how long after the confirmation to look; one time span or several. Run daily, this looks
        everybody up once for each.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param ledger_conn_id: of the database that keeps the ledger. Templated.
    :returns: ``listed`` rows, how many people were ``rechecked``, and how many of them have ``reappeared``.
    :raises AirflowFailException: when a retry cannot help.

    Scopes ``profiles:read`` and ``accounts:read``.
    Source: https://developers.klaviyo.com/en/reference/get_profiles
    """

    template_fields: Sequence[str] = (*SourceOperator.template_fields, "ledger_conn_id")
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        recheck_after: timedelta | Sequence[timedelta] = (timedelta(days=30), timedelta(days=90)),
        ledger_conn_id: str = "klaviyo_ledger",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source.check()
        spans = [recheck_after] if isinstance(recheck_after, timedelta) else recheck_after
        if not isinstance(spans, list | tuple) or not all(isinstance(span, timedelta) for span in spans):
            raise TypeError(f"recheck_after must be a timedelta, or a list of some, not {recheck_after!r}")
        self.recheck_after = list(spans)
        self.ledger_conn_id = ledger_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Look up who is due, record who came back, and return the counts."""
        from airflow_provider_klaviyo.hooks.ledger import open_ledger
        from airflow_provider_klaviyo.lasting import fail_for_good
        from airflow_provider_klaviyo.ledger.recheck import recheck

        with (
            fail_for_good(),
            open_ledger(self.ledger_conn_id, self.klaviyo_conn_id, actor_of(context)) as (ledger, hook),
            closing(self.source.entries()) as entries,
        ):
            counts = recheck(entries, hook.get_conn(), ledger, self.recheck_after, self.max_invalid)
        self.log.info("%s of %s erased people came back", f"{counts['reappeared']:,}", f"{counts['rechecked']:,}")
        return counts
