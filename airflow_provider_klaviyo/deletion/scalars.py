"""Single values of numpy, pandas and Arrow as Python's own, without an import of these libraries."""

from __future__ import annotations

from typing import Final

__all__ = ["FIRST_DOUBTFUL", "first_doubtful", "plain"]

FIRST_DOUBTFUL: Final = 2**53
"""From here on not every whole number is a float, so that one that was a float may have been another."""

# The same for floats of 2 and of 4 bytes.
OF_SHORT_FLOATS: Final = {2: 2**11, 4: 2**24}


def plain(value: object) -> object:
    """Return what a scalar holds, as a value of one of Python's own types; anything else as it is."""
    if type(value) is str:
        return value
    for name in ("as_py", "item"):
        convert = getattr(value, name, None)
        # What has a shape other than () is an array.
        if callable(convert) and getattr(value, "shape", ()) == ():
            return convert()
    return value


def first_doubtful(value: object) -> int:
    """Return the first whole number that a float of this size may confuse with its neighbour."""
    size = getattr(value, "itemsize", None)
    return OF_SHORT_FLOATS.get(size, FIRST_DOUBTFUL) if isinstance(size, int) else FIRST_DOUBTFUL
