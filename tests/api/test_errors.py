"""The tree of errors is as it is drawn, has a branch for every status, and names nobody."""

from __future__ import annotations

import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api import errors
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS, GET_PROFILES, PROFILE_DELETION, UPDATE_PROFILE
from airflow_provider_klaviyo.api.errors import KlaviyoError, error_class
from airflow_provider_klaviyo.api.wire import Answer, error_from

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, KlaviyoError)]
ADDRESS = "ada.canary@example.com"
REFUSAL = b'{"errors": [{"code": "no"}]}'


def drawn_parents() -> dict[str, str]:
    """Read the drawing: each class and the one it hangs from."""
    parents: dict[str, str] = {}
    branch: list[str] = []
    for line in (errors.__doc__ or "").split("```")[1].strip().splitlines():
        found = re.search(r"Klaviyo\w+", line)
        assert found is not None, line
        depth = found.start() // 4
        branch[depth:] = [found[0]]
        if depth:
            parents[found[0]] = branch[depth - 1]
    return parents


def test_the_tree_is_as_it_is_drawn() -> None:
    assert drawn_parents() == {one.__name__: one.__bases__[0].__name__ for one in CLASSES if one is not KlaviyoError}


def test_every_class_says_what_it_is_for() -> None:
    assert all(one.__doc__ for one in CLASSES)


def test_a_wrong_configuration_is_a_value_error_too() -> None:
    assert issubclass(errors.KlaviyoConfigurationError, ValueError)


@given(st.integers())
def test_every_integer_has_a_class(status: int) -> None:
    assert issubclass(error_class(status), KlaviyoError)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (100, errors.KlaviyoAnswerError),
        (200, errors.KlaviyoAnswerError),
        (302, errors.KlaviyoAnswerError),
        (400, errors.KlaviyoInvalidRequestError),
        (401, errors.KlaviyoAuthenticationError),
        (403, errors.KlaviyoPermissionError),
        (404, errors.KlaviyoNotFoundError),
        (405, errors.KlaviyoInvalidRequestError),
        (408, errors.KlaviyoServerError),
        (409, errors.KlaviyoInvalidRequestError),
        (410, errors.KlaviyoInvalidRequestError),
        (414, errors.KlaviyoInvalidRequestError),
        (415, errors.KlaviyoInvalidRequestError),
        (425, errors.KlaviyoServerError),
        (429, errors.KlaviyoRateLimitError),
        (500, errors.KlaviyoServerError),
        (502, errors.KlaviyoServerError),
        (503, errors.KlaviyoServerError),
        (524, errors.KlaviyoServerError),
        (600, errors.KlaviyoAnswerError),
        (-1, errors.KlaviyoAnswerError),
    ],
)
def test_a_status_means_what_klaviyo_says(status: int, expected: type[KlaviyoError]) -> None:
    assert error_class(status) is expected


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling_with_all_it_knows(kind: type[KlaviyoError]) -> None:
    error = kind("why", status=429, code="throttled", error_id="e-1", source="filter", retry_after_seconds=7.5)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "why"
    assert vars(copy) == vars(error)
    assert vars(copy) == {
        "status": 429,
        "code": "throttled",
        "error_id": "e-1",
        "source": "filter",
        "retry_after_seconds": 7.5,
        "in_doubt": False,
    } | ({"duplicate_profile_id": None} if kind is errors.KlaviyoDuplicateProfileError else {})


def everything_it_says(error: KlaviyoError) -> str:
    return f"{error!s} {error!r} {error.args} {vars(error)}"


def test_a_message_does_not_repeat_the_address_that_klaviyo_repeats() -> None:
    refusal = {"id": "3f-1", "code": "not_found", "title": "Not found.", "detail": f"No profile {ADDRESS}."}
    error = error_from(PROFILE_DELETION, Answer(404, {}, json.dumps({"errors": [refusal]}).encode()))
    assert "canary" not in everything_it_says(error)
    assert (error.code, error.error_id) == ("not_found", "3f-1")
    assert "3f-1" in str(error)
    assert "POST /api/data-privacy-deletion-jobs" in str(error)


@pytest.mark.parametrize("field", ["id", "code", "title", "detail", "source", "pointer", "parameter"])
@pytest.mark.parametrize("personal", [ADDRESS, "+15005550006", "Ada Lovelace"])
def test_an_address_in_any_field_of_an_error_is_left_out(field: str, personal: str) -> None:
    refusal: dict[str, object] = {field: personal}
    if field in {"pointer", "parameter"}:
        refusal = {"source": {field: personal}}
    error = error_from(GET_PROFILES, Answer(400, {}, json.dumps({"errors": [refusal]}).encode()))
    assert personal not in everything_it_says(error)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["errors", "id", "code", "source", "parameter"]), x),
    ).map(lambda document: json.dumps(document).encode()),
    st.integers(min_value=300, max_value=600),
)
def test_whatever_comes_as_an_error_becomes_one(body: bytes, status: int) -> None:
    for endpoint in ENDPOINTS.values():
        error = error_from(endpoint, Answer(status, {}, body))
        assert error.status == status
        assert str(endpoint) in str(error)


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"duplicate_profile_id": "01HZZZZZZZZZZZZZZZZZZZZZZZ"}, "01HZZZZZZZZZZZZZZZZZZZZZZZ"),
        ({"duplicate_profile_id": ADDRESS}, None),
        ({"duplicate_profile_id": "+15005550006"}, None),
        ({"duplicate_profile_id": ["01H"]}, None),
        ({"duplicate_profile_id": "0" * 65}, None),
        ({}, None),
        ([], None),
        (None, None),
        ("duplicate_profile_id", None),
    ],
)
def test_a_duplicate_says_which_other_profile_it_is(meta: object, expected: str | None) -> None:
    refusal = {"id": "3f-1", "code": "duplicate_profile", "detail": f"{ADDRESS} is taken.", "meta": meta}
    error = error_from(UPDATE_PROFILE, Answer(409, {}, json.dumps({"errors": [refusal]}).encode()))
    assert isinstance(error, errors.KlaviyoDuplicateProfileError)
    copy = pickle.loads(pickle.dumps(error))
    assert error.duplicate_profile_id == copy.duplicate_profile_id == expected
    assert (copy.status, copy.code, copy.error_id) == (409, "duplicate_profile", "3f-1")
    assert "canary" not in everything_it_says(error)
    assert "another profile with the same identifier" in str(error)


@pytest.mark.parametrize(("status", "code"), [(409, "conflict"), (400, "duplicate_profile"), (409, None)])
def test_another_conflict_is_no_duplicate(status: int, code: str | None) -> None:
    error = error_from(UPDATE_PROFILE, Answer(status, {}, json.dumps({"errors": [{"code": code}]}).encode()))
    assert type(error) is errors.KlaviyoInvalidRequestError


def test_an_error_document_that_is_too_deep_to_read_is_still_an_error() -> None:
    assert error_from(GET_PROFILES, Answer(400, {}, b"[" * 200_000)).code is None


def test_a_missing_scope_is_named() -> None:
    message = str(error_from(PROFILE_DELETION, Answer(403, {}, REFUSAL)))
    assert "lacks the scope data-privacy:write" in message


def test_a_retired_revision_says_which_field_to_change() -> None:
    assert "'revision'" in str(error_from(GET_PROFILES, Answer(410, {}, REFUSAL)))
