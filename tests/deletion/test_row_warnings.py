"""What is wrong with rows: said of the first twenty, and that there are more."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_klaviyo.deletion.row_warnings import RowWarnings


def test_the_first_twenty_are_named_and_the_others_mentioned_once(caplog: pytest.LogCaptureFixture) -> None:
    warnings = RowWarnings(logging.getLogger("airflow_provider_klaviyo.anywhere"))
    for row in range(7, 57):
        warnings.add(row, "is counted as invalid: it is empty")
    assert caplog.messages == [
        *(f"Row {row} is counted as invalid: it is empty" for row in range(7, 27)),
        "More rows like these follow, and are no longer logged one by one",
    ]
    assert warnings.rows == 50
    assert {record.name for record in caplog.records} == {"airflow_provider_klaviyo.anywhere"}
