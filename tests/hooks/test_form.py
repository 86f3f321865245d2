"""The connection form is the same in both generations of Airflow, and has the fields that are read."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_klaviyo.api.settings import DEFAULT_BASE_URL, DEFAULT_REVISION, DEFAULT_UTILISATION
from airflow_provider_klaviyo.get_provider_info import get_provider_info
from airflow_provider_klaviyo.hooks.connection import KNOWN_EXTRAS
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook


@pytest.fixture
def form() -> dict[str, Any]:
    (connection_type,) = get_provider_info()["connection-types"]
    return dict(connection_type)


def test_the_form_belongs_to_the_hook(form: dict[str, Any]) -> None:
    assert form["connection-type"] == KlaviyoHook.conn_type
    assert form["hook-name"] == KlaviyoHook.hook_name
    assert form["hook-class-name"] == f"{KlaviyoHook.__module__}.{KlaviyoHook.__qualname__}"
    assert KlaviyoHook.default_conn_name == "klaviyo_default"
    assert KlaviyoHook.conn_name_attr == "klaviyo_conn_id"


def test_the_hook_says_what_the_form_says(form: dict[str, Any]) -> None:
    behaviour = KlaviyoHook.get_ui_field_behaviour()
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
    assert behaviour["relabeling"] == form["ui-field-behaviour"]["relabeling"]
    assert behaviour["relabeling"]["password"] == "Private API key"


def test_the_fields_are_those_that_are_read(form: dict[str, Any]) -> None:
    assert set(form["conn-fields"]) == KNOWN_EXTRAS
    assert form["conn-fields"]["fingerprint_key"]["schema"]["format"] == "password"


def test_the_form_tells_the_defaults_that_hold(form: dict[str, Any]) -> None:
    assert DEFAULT_REVISION in form["conn-fields"]["revision"]["description"]
    assert str(DEFAULT_UTILISATION) in form["conn-fields"]["utilisation"]["description"]
    assert form["ui-field-behaviour"]["placeholders"]["host"] == DEFAULT_BASE_URL


def test_every_field_may_be_left_empty(form: dict[str, Any]) -> None:
    assert all("null" in field["schema"]["type"] for field in form["conn-fields"].values())


def test_the_widgets_of_airflow_2_are_built(form: dict[str, Any]) -> None:
    pytest.importorskip("flask_appbuilder")
    from flask_appbuilder.forms import DynamicForm
    from wtforms import Form

    widgets = KlaviyoHook.get_connection_form_widgets()
    assert list(widgets) == list(form["conn-fields"])
    filled = type("ConnectionForm", (Form,), widgets)(data={"account_id": "AbC123"})
    assert filled.account_id.data == "AbC123"
    assert filled.account_id.label.text == "Account id"
    assert issubclass(DynamicForm, Form)
