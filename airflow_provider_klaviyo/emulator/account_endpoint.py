"""The account: shown."""

from __future__ import annotations

from airflow_provider_klaviyo.emulator import documents
from airflow_provider_klaviyo.emulator.answers import Answer, document
from airflow_provider_klaviyo.emulator.endpoint import Asking


def get_account(asking: Asking) -> Answer:
    """Return the one account that the key belongs to."""
    parameters = asking.asked.parameters({"fields[account]"})
    fields = documents.sparse_fields(parameters, "account", documents.ACCOUNT_FIELDS)
    account = asking.tenant.account
    base_url = asking.asked.base_url
    return document(
        {
            "data": [documents.account(account.id, account.organization_name, base_url, fields)],
            "links": {"self": f"{base_url}/api/accounts/"},
        }
    )
