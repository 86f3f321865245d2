"""The customer's own id of a request is read as what it is, or not at all."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest

from airflow_provider_klaviyo.deletion.request_ids import RequestIdError, read_request_id


@pytest.mark.parametrize(
    ("value", "request_id"),
    [
        *(("R-17", "R-17"), (" R-17 ", "R-17"), (17, "17"), (17.0, "17"), (Decimal("17.00"), "17"), ("17.0", "17.0")),
        *((UUID(int=7), str(UUID(int=7))), (None, None), ("", None), ("  ", None), (float("nan"), None)),
    ],
)
def test_a_request_id_is_read(value: object, request_id: str | None) -> None:
    assert read_request_id(value) == request_id


@pytest.mark.parametrize("value", [17.5, 2.0**53, float("inf"), True, "a\nb", "x" * 256, 10**300, [], Decimal("NaN")])
def test_anything_else_is_none(value: object) -> None:
    with pytest.raises(RequestIdError, match="a request_id is 1 to 255 printable characters"):
        read_request_id(value)
