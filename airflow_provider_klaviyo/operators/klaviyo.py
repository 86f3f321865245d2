"""Operators that do for people what they may ask for: see their data, correct it, restrict its use, be forgotten."""

from __future__ import annotations

from airflow_provider_klaviyo.operators.access import ProfileAccessOperator
from airflow_provider_klaviyo.operators.deletion import ProfileDeletionOperator
from airflow_provider_klaviyo.operators.plan import DeletionPlanOperator, DeletionPlanReleaseOperator
from airflow_provider_klaviyo.operators.recheck import DeletionRecheckOperator
from airflow_provider_klaviyo.operators.rectification import ProfileUpdateOperator
from airflow_provider_klaviyo.operators.restriction import ProfileSuppressionOperator

__all__ = [
    "DeletionPlanOperator",
    "DeletionPlanReleaseOperator",
    "DeletionRecheckOperator",
    "ProfileAccessOperator",
    "ProfileDeletionOperator",
    "ProfileSuppressionOperator",
    "ProfileUpdateOperator",
]
