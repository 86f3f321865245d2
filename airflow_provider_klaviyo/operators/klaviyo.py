"""Operators that delete people from Klaviyo."""

from __future__ import annotations

from airflow_provider_klaviyo.operators.deletion import ProfileDeletionOperator
from airflow_provider_klaviyo.operators.plan import DeletionPlanOperator, DeletionPlanReleaseOperator
from airflow_provider_klaviyo.operators.recheck import DeletionRecheckOperator

__all__ = [
    "DeletionPlanOperator",
    "DeletionPlanReleaseOperator",
    "DeletionRecheckOperator",
    "ProfileDeletionOperator",
]
