"""The identity of an Airflow deployment: two of them may share a ledger, and name their DAGs and tasks alike."""

from __future__ import annotations

import logging
from typing import Final
from uuid import uuid4

__all__ = ["VARIABLE", "deployment_id"]

VARIABLE: Final = "klaviyo_deployment_id"
DESCRIPTION: Final = "Tells the plans of this Airflow from those of another one that shares a Klaviyo ledger."

log = logging.getLogger(__name__)


def deployment_id() -> str:
    """Return a text that no other Airflow deployment has, and that all workers of this one agree on.

    It is ``[klaviyo] deployment_id`` of the configuration if that is set. If not, it is the Airflow Variable
    ``klaviyo_deployment_id``, made when it is first needed. It is empty where there can be neither, such as in a unit
    test without a metadata database: then deployments that share a ledger must not have DAGs of the same name.
    """
    from airflow.providers.common.compat.sdk import Variable, conf

    configured = conf.get("klaviyo", "deployment_id", fallback="")
    if configured:
        return str(configured)
    try:
        known = Variable.get(VARIABLE, None)
        if known is None:
            Variable.set(VARIABLE, uuid4().hex, DESCRIPTION)
            # Another task may have been quicker.
            known = Variable.get(VARIABLE, None)
    except ImportError:
        return ""  # Not in a task: Airflow 3 gives Variables to tasks only.
    except Exception as error:  # noqa: BLE001 - anything that a metadata database or an API server may raise
        log.warning(
            "The Airflow Variable %s cannot be read or made (%s). If another Airflow uses the same ledger, set "
            "[klaviyo] deployment_id in the configuration of both",
            VARIABLE,
            type(error).__name__,
        )
        return ""
    return str(known or "")
