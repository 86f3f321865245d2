"""The filter language, and nothing that merely looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_klaviyo.emulator.filters import FIELDS, Filter, FilterError


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@settings(deadline=None)
@given(st.sampled_from(FIELDS), st.text())
def test_equals_finds_any_string_that_is_quoted_properly(field: str, text: str) -> None:
    assert Filter.parse(f"equals({field},{quoted(text)})", max_values=100) == Filter(field, (text,))


@settings(deadline=None)
@given(st.sampled_from(FIELDS), st.lists(st.text(), min_size=1, max_size=20))
def test_any_finds_any_strings_that_are_quoted_properly(field: str, texts: list[str]) -> None:
    text = f"any({field},[{','.join(map(quoted, texts))}])"
    assert Filter.parse(text, max_values=100) == Filter(field, tuple(texts))


@settings(deadline=None)
@given(st.text(alphabet='"\\,[]()a'))
def test_a_string_put_in_raw_is_itself_or_refused(text: str) -> None:
    """What a careless client sends may be refused, but never widens the question unnoticed."""
    try:
        parsed = Filter.parse(f'equals(email,"{text}")', max_values=100)
    except FilterError:
        assert '"' in text or "\\" in text
    else:
        assert len(parsed.values) == 1
        assert quoted(parsed.values[0]) == f'"{text}"'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "equals",
        'equals(email,"a"',
        'equals(email,"a"))',
        'equals(email,"a","b")',
        'equals(email,["a"])',
        "equals(email,a)",
        "equals(email,'a')",
        "equals(email,1)",
        'equals(email, "a")',
        'equals(first_name,"a")',
        'equals(email,"a\\n")',
        'equals(email,"a\\")',
        'equals(email,"a"b")',
        'any(email,"a")',
        "any(email,[])",
        'any(email,["a",])',
        'any(email,["a";"b"])',
        'any(email,["a","b"]',
        'any(email,["a"]])',
        'contains(email,"a")',
        'or(equals(email,"a"),equals(email,"b"))',
        'equals(email,"a"),equals(id,"b")',
        ' equals(email,"a")',
        'equals(email,"a")\n',
    ],
)
def test_anything_else_is_refused_without_repeating_a_value(text: str) -> None:
    with pytest.raises(FilterError) as caught:
        Filter.parse(text.replace('"a', '"canary'), max_values=100)
    assert "canary" not in str(caught.value)


def test_values_can_be_too_many() -> None:
    many = ",".join(['"a"'] * 101)
    with pytest.raises(FilterError, match="At most 100 values can be given, not 101"):
        Filter.parse(f"any(id,[{many}])", max_values=100)
