"""What operators that read a list of people have in common."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_klaviyo.concealed import Concealed
from airflow_provider_klaviyo.rendering import RendersAsWritten, as_given
from airflow_provider_klaviyo.sources.source import Source

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from airflow_provider_klaviyo.api.client import KlaviyoClient
    from airflow_provider_klaviyo.api.settings import Settings
    from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

__all__ = ["DeletionSourceOperator", "SourceOperator"]


class SourceOperator(RendersAsWritten, BaseOperator):
    """An operator that reads a list of people: exactly one of ``profiles``, ``sql`` and ``path``.

    :param profiles: strings, and mappings of one kind such as ``{"email": …}``, ``{"phone_number": …}``,
        ``{"id": …}`` or ``{"external_id": …}``. Templated; not shown in the rendered template.
    :param sql: a query that returns a column of one of these names. It is read in the worker, so that no identifier
        goes through Airflow. Templated, also as the name of an ``.sql`` file.
    :param sql_conn_id: of the database to ask; any connection whose hook is a `DbApiHook`. Templated.
    :param parameters: of the query, in the form that the database's driver takes. Templated.
    :param path: a file at any `ObjectStoragePath`: ``.csv`` or ``.tsv`` with a header, ``.jsonl`` (these also with
        ``.gz``) or ``.parquet``; a folder of such files; or a pattern such as ``…/part-*.csv``. Templated.
    :param columns: our name for each column of a query or a file that has another one, such as ``{"E-Mail": "email"}``.
        The column that it makes the identifier is the only one, whatever others there are.
    :param delimiter: of a CSV file, such as ``";"``. By default it is found out from the header.
    :param klaviyo_conn_id: of Klaviyo. Templated.
    :param max_invalid: refuse the whole list, before anything is done, if a larger share of its rows than this (0 to 1)
        cannot be an identifier: it is probably the wrong column. 1 accepts every list. By default 30 % of a list of 10
        rows or more may be wrong; of a shorter list any number but all; and the only row of a list, if it is a text of
        one value, or NULL. An empty list is never refused.
    """

    template_fields: Sequence[str] = ("profiles", "sql", "sql_conn_id", "parameters", "path", "klaviyo_conn_id")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"sql": "sql", "parameters": "json"}

    def __init__(
        self,
        *,
        profiles: str | Mapping[str, Any] | Iterable[str | Mapping[str, Any]] | XComArg | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        path: str | None = None,
        columns: Mapping[str, str] | None = None,
        delimiter: str | None = None,
        klaviyo_conn_id: str = "klaviyo_default",
        max_invalid: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_invalid is not None and not 0 <= max_invalid <= 1:
            raise ValueError(f"max_invalid must be a share of the rows, from 0 to 1, not {max_invalid!r}")
        self.profiles: Any = as_given(self, profiles)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.path = path
        self.columns = columns
        self.delimiter = delimiter
        self.klaviyo_conn_id = klaviyo_conn_id
        self.max_invalid = max_invalid
        # What a task talks through while it works, for those who want to be stopped in the middle.
        self._client: KlaviyoClient | None = None

    def on_kill(self) -> None:
        """Stop before the next call: Airflow says so seconds before it kills the process."""
        if self._client is not None:
            self._client.stop()

    def log_counts(self, result: Mapping[str, Any]) -> None:
        """Say what came of the list, in the numbers of a result that are counts of something."""
        numbers = ((name, number) for name, number in result.items() if type(number) is int and name != "batch")
        counts = (f"{number:,} {name}" for name, number in numbers if number)
        self.log.info("Done: %s", ", ".join(counts) or "nobody was listed")

    @property
    def source(self) -> Source:
        """Where the list comes from."""
        where = (self.profiles, self.sql, self.sql_conn_id, self.parameters, self.path)
        return Source(*where, self.columns, self.delimiter)

    def recipe(self, settings: Settings, *limits: object) -> str:
        """Return a keyed digest of what must be the same for the work of an earlier try to be gone on with.

        :param limits: what else counts, besides the query and the account.
        """
        from hashlib import blake2b

        listed = self.profiles.value if isinstance(self.profiles, Concealed) else self.profiles
        if not isinstance(listed, str | list | tuple | Mapping):
            listed = None  # What another task handed over piece by piece has no lasting form.
        form = [one for one in (self.columns, self.delimiter) if one is not None]
        query = (self.sql, self.sql_conn_id, self.parameters, self.path, *form)
        same = repr((listed, query, limits, self.max_invalid, settings.quota)).encode("utf-8", "surrogatepass")
        return blake2b(same, key=settings.secret, digest_size=16).hexdigest()


class DeletionSourceOperator(SourceOperator):
    """An operator that reads a list of people who are to be deleted.

    :param require_export: the ``output_path`` of a `ProfileAccessOperator`. Before anything is registered or deleted,
        everyone in the list who can be an identifier must have a document there, under the same ``request_id`` or
        identifier as it was written; otherwise the task fails. None to require nothing. Templated.
    :param absent_looks: how many looks must agree before an identifier is ``absent``: 2, or 1. A search of Klaviyo's
        may be empty by mistake; the second one costs a call for each 100 absent identifiers, and comes seconds later.
        With 1, one empty response is final, and somebody listed may be lost by it.
    """

    template_fields: Sequence[str] = (*SourceOperator.template_fields, "require_export")

    def __init__(self, *, require_export: str | XComArg | None = None, absent_looks: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if absent_looks not in (1, 2):
            raise ValueError(f"absent_looks must be 1 or 2, not {absent_looks!r}")
        self.require_export = require_export
        self.absent_looks = absent_looks

    def entries(self, hook: KlaviyoHook) -> Generator[Any]:
        """Yield the list. To be closed; and nothing to be done about a row before the last one has come.

        :raises ExportMissingError: at the end, if an export is required and somebody has no document.
        """
        if self.require_export is None:
            return self.source.entries()
        from airflow_provider_klaviyo.access.naming import Names
        from airflow_provider_klaviyo.access.required import with_documents
        from airflow_provider_klaviyo.hooks.documents import open_documents

        folder = open_documents(self.require_export)
        return with_documents(self.source.entries(), folder, Names(hook.get_fingerprint_keys))
