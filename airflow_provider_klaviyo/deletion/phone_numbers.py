"""Phone numbers in international form, of which Klaviyo has one spelling only: E.164.

Source: https://www.itu.int/rec/T-REC-E.164
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from airflow_provider_klaviyo.deletion.characters import WRAPPINGS, UnreadableError, unwrapped

__all__ = ["PHONE_SIGNS", "read_phone_number"]

PHONE_SIGNS: Final = ("+", "\uff0b", "tel:")
"""How a phone number begins, in lower case."""

PHONE_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
SIGNS: Final = str.maketrans("\uff0b\uff08\uff09\uff0e", "+().")
# No slash: what follows one may be a second number, or the end of one.
PUNCTUATION: Final = re.compile(r"[ .()\-\u00a0\u2000-\u200f\u2010-\u2015\u202a-\u202f\u205f\u2060\u2212\u3000\uff0d]")
TRUNK_ZERO: Final = re.compile(r"\(\s*0\s*\)")
# Without the dot it would have one digit more, and be somebody else's.
THROUGH_A_FLOAT: Final = re.compile(r"\+[0-9]+\.0+")


def read_phone_number(value: str) -> str:
    """Return a phone number in E.164 form.

    :raises UnreadableError: for what is not one, or may be another one.
    """
    text = _in_ascii_digits(unwrapped(value, WRAPPINGS, "tel:")).translate(SIGNS)
    if THROUGH_A_FLOAT.fullmatch(text):
        raise UnreadableError("a phone number that ends in .0, as if it had been a number with decimals")
    digits = PUNCTUATION.sub("", text)
    if TRUNK_ZERO.search(text) or not PHONE_NUMBER.fullmatch(digits):
        raise UnreadableError("not a phone number in E.164 form: + and country code, then 7 to 15 digits in all")
    return digits


def _in_ascii_digits(text: str) -> str:
    """Return a text with the digits of another script, or full-width ones, in ASCII. A mixture is left as it is."""
    if text.isascii():
        return text
    zeros = {ord(character) - unicodedata.decimal(character) for character in text if character.isdecimal()}
    if len(zeros) != 1:
        return text
    return "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in text)
