"""Tests of the wire formats, and the hypothesis strategies that they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from realtime.exceptions import ProtocolError

T = TypeVar("T")

# No deadline: that a busy machine is slow now and then is no failure of the protocol.
settings.register_profile("protocol", deadline=None, max_examples=60)
settings.load_profile("protocol")

# Keys that mean bytes on the wire: as data of their own no format can tell them apart.
MEANING_BYTES = {"_placeholder", "$bytes"}

texts = st.text(max_size=12)
keys = texts.filter(lambda key: key not in MEANING_BYTES)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
blobs = st.binary(max_size=12)


def nested(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Values with these leaves, in lists and dicts of any shape."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=8,
    )


values = nested(scalars)
values_with_bytes = nested(scalars | blobs)
arguments = st.lists(values, max_size=4)
arguments_with_bytes = st.lists(values_with_bytes, max_size=4)


@st.composite
def mutations(draw: st.DrawFn, originals: st.SearchStrategy[str], alphabet: str) -> str:
    """Texts with up to three mistakes: something left out, put in, doubled or changed."""
    text = draw(originals)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 4)))
        middle = draw(
            st.sampled_from(["", text[start:end] * 2]) | st.text(alphabet, max_size=3) | texts
        )
        text = text[:start] + middle + text[end:]
    return text


def attempt(function: Callable[..., T], *args: object) -> T | ProtocolError:
    """
    Return what the function returns, or the ProtocolError that it raises: no other may come.

    An error stands in logs and close reasons, so it quotes little of what the other side sent.
    """
    try:
        return function(*args)
    except ProtocolError as error:
        refusal = error
    assert len(str(refusal)) < 200
    return refusal
