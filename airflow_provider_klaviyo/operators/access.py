"""The operator that gives people what Klaviyo keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.operators.source import SourceOperator
from airflow_provider_klaviyo.task import origin_of
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_klaviyo.access.people import People
    from airflow_provider_klaviyo.api.client import KlaviyoClient
    from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

__all__ = ["ProfileAccessOperator"]


@hide_variables
class ProfileAccessOperator(SourceOperator):
    """Write all that Klaviyo keeps of each person in a list into a JSON document of their own. Changes nothing there.

    Rows with one ``request_id`` are one person with several identifiers; a row without is a person by itself, and so is
    one with a placeholder such as ``NULL``, ``N/A``, ``-`` or ``0``. A request is held that names two identifiers of
    one kind which match different profiles, or more than 20 identifiers: they may be of several people.

    A profile is read by its id, and is in a document only if it still holds one of the person's identifiers when all of
    it has been read. If not, the person is looked up again, and held if that finds the same profile twice more.

    A document has the identifiers asked for, when it was read, the account's id, and each profile with all attributes
    (subscriptions and predictive analytics too), its lists and its segments. Who is not known to Klaviyo gets one too,
    with no profiles in it. At 97 % of Klaviyo's limit a thousand profiles take 17 minutes.

    **The documents are personal.** They lie in ``output_path``, in the clear, until you remove them. Each is named
    after its request, ``<request_id>.json``, if that is up to 100 letters, digits, ``_``, ``-`` and ``.``, and does not
    begin with a dot; else after a fingerprint, never after the person. On the worker's own disk only their owner may
    read them (mode 0600, in folders made 0700); elsewhere whoever may read the folder.

    Under its name there is a whole document or none. A retry keeps what its task has written, and goes on from there; a
    cleared task and another DAG run read everyone anew, in place of what lies there.

    :param output_path: the folder, as `ObjectStoragePath` takes it. On the worker's disk it is made. One for each run,
        such as ``s3://aws_default@exports/{{ ds }}``, keeps old documents apart from new ones. Templated.
    :param profiles, sql, sql_conn_id, parameters, path: where the list comes from, as for every `SourceOperator`; with
        ``request_id`` as an optional column, your own number of the request.
    :param klaviyo_conn_id: of Klaviyo; with a fingerprint key, unless each row has a plain ``request_id``. Templated.
    :param include_events: also what each person did, the oldest first; 200 events a call.
    :param max_profiles: refuse the whole list, before anything is written, if it matches more profiles than this; None
        for no limit.
    :param max_profiles_per_identifier: hold a person back, without a document, if one of their identifiers, or all
        together, match more profiles than this: the others' data must not be in it. None for no limit.
    :returns: ``listed`` rows, of which ``duplicates``; people counted as ``exported``, ``absent``, ``invalid``,
        ``refused`` and ``held``; the number of ``profiles``; and as ``documents`` where they lie. Nothing personal.
    :raises AirflowFailException: when a retry cannot help: a half-filled connection, a key without the scope, a list
        that matches too many profiles or whose request ids differ in capital letters only.
    :raises KlaviyoError, OutputUnavailableError, ProfileGoneError, SourceUnavailableError: for trouble that a retry can
        mend.

    Scopes ``profiles:read``, ``lists:read``, ``segments:read`` and ``accounts:read``; for events ``events:read``.
    Sources: https://developers.klaviyo.com/en/reference/get_profile, GDPR Art. 15.
    """

    template_fields: Sequence[str] = (*SourceOperator.template_fields, "output_path")
    ui_color = "#d6e6f2"

    def __init__(
        self,
        *,
        output_path: str | XComArg,
        include_events: bool = False,
        max_profiles: int | None = 1_000,
        max_profiles_per_identifier: int | None = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source.check()
        self.output_path = output_path
        self.include_events = include_events
        self.max_profiles = max_profiles
        self.max_profiles_per_identifier = max_profiles_per_identifier

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the documents, and return the counts."""
        from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
        from airflow_provider_klaviyo.lasting import fail_for_good

        with fail_for_good(), KlaviyoHook(self.klaviyo_conn_id) as hook:
            result = self._export(hook, context)
        self.log_counts(result)
        return result

    def _export(self, hook: KlaviyoHook, context: Context) -> dict[str, Any]:
        from airflow_provider_klaviyo.access.export import Export
        from airflow_provider_klaviyo.access.matching import Limits
        from airflow_provider_klaviyo.hooks.documents import open_documents

        folder = open_documents(self.output_path)
        client = self._client = hook.get_conn()
        people = self._people(hook)
        self.log.info("Rows read: %s; people: %s", f"{people.listed:,}", f"{len(people.everyone):,}")
        export = Export(
            client,
            folder,
            Limits(self.max_profiles, self.max_profiles_per_identifier),
            account_id=client.settings.account_id or hook.get_account().id,
            occasion=self._occasion(client, context),
            include_events=self.include_events,
        )
        return export.run(people)

    def _people(self, hook: KlaviyoHook) -> People:
        from airflow_provider_klaviyo.access.naming import Names
        from airflow_provider_klaviyo.access.people import read_people

        with closing(self.source.entries()) as entries:
            return read_people(entries, Names(hook.get_fingerprint_keys), self.max_invalid)

    def _occasion(self, client: KlaviyoClient, context: Context) -> str:
        """Return what must be the same for a retry to keep what was written; clearing a task raises its max_tries."""
        max_tries = getattr(context["ti"], "max_tries", None)
        wanted = (self.include_events, self.max_profiles_per_identifier)
        return self.recipe(client.settings, origin_of(context), max_tries, *wanted)
