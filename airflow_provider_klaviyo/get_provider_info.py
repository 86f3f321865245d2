"""What Airflow asks a provider package for: a literal, without imports, because every Airflow process loads it."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

DOCS = "https://developers.klaviyo.com/en/reference/api_overview"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's name, its modules, and the connection type with its form."""
    return {
        "package-name": "airflow-provider-klaviyo",
        "name": "Klaviyo",
        "description": "Erase people from `Klaviyo <https://www.klaviyo.com/>`__: paced, confirmed, private.",
        "integrations": [{"integration-name": "Klaviyo", "external-doc-url": DOCS, "tags": ["service"]}],
        "hooks": [_modules("hooks")],
        "operators": [_modules("operators")],
        "sensors": [_modules("sensors")],
        "triggers": [_modules("triggers")],
        "config": {
            "klaviyo": {
                "description": "Options of the Klaviyo provider.",
                "options": {
                    "deployment_id": {
                        "description": "Tells the plans of this Airflow from those of another one that shares a "
                        "ledger. When empty, the Airflow Variable klaviyo_deployment_id is made and used.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "production",
                        "default": "",
                    }
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "klaviyo",
                "hook-class-name": "airflow_provider_klaviyo.hooks.klaviyo.KlaviyoHook",
                "hook-name": "Klaviyo",
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port", "login", "extra"],
                    "relabeling": {"password": "Private API key", "host": "Base URL"},
                    "placeholders": {"password": "pk_…", "host": "https://a.klaviyo.com"},
                },
                "conn-fields": {
                    "account_id": {
                        "label": "Account id",
                        "description": "Refuse to work on any other Klaviyo account (six characters, also known as "
                        "the public API key). Needs the scope accounts:read.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "utilisation": {
                        "label": "Share of the rate limits to use",
                        "description": "Above 0 and at most 1; 0.97 when empty. Give less where other integrations "
                        "use the same account.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
                    },
                    "fingerprint_key": {
                        "label": "Fingerprint key",
                        "description": "For a ledger, which knows people by a keyed digest. Make one with: python -c "
                        '"import secrets; print(secrets.token_urlsafe(32))"',
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "oauth_client_id": {
                        "label": "OAuth client id",
                        "description": "Of an app with OAuth, in place of a private API key.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "oauth_client_secret": {
                        "label": "OAuth client secret",
                        "description": "Of the same app.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "oauth_refresh_token": {
                        "label": "OAuth refresh token",
                        "description": "Get one with: python -m airflow_provider_klaviyo.oauth --help",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "oauth_store_conn_id": {
                        "label": "OAuth token store",
                        "description": "Id of a connection to a database that suits a ledger, where the app's tokens "
                        "are kept, encrypted; klaviyo_ledger when empty.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "revision": {
                        "label": "API revision",
                        "description": "YYYY-MM-DD; 2026-07-15 when empty.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "timeout": {
                        "label": "Timeout in seconds",
                        "description": "For connecting, and for each wait for data; 30 when empty.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 600},
                    },
                    "limits": {
                        "label": "Rate limits",
                        "description": "Where they differ from the documented ones, as JSON: "
                        '{"profile_deletion": {"burst": 3, "steady": 60}} is 3 a second and 60 a minute.',
                        "schema": {"type": ["string", "null"], "format": "json"},
                    },
                },
            }
        ],
    }


def _modules(room: str) -> dict[str, Any]:
    return {"integration-name": "Klaviyo", "python-modules": [f"airflow_provider_klaviyo.{room}.klaviyo"]}
