"""The masking of a client's frames (RFC 6455, section 5.3)."""

from __future__ import annotations

from collections.abc import Callable


def unmask_in_python(data: bytes, mask: bytes) -> bytes:
    """Return masked bytes as they were before, or the other way round."""
    size = len(data)
    key = (mask * ((size + 3) // 4))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


# What is tried with a function that is not in the documentation of its package.
_SAMPLE, _MASK = bytes(range(21)), b"\x01\x80\xff\x00"


def choose() -> Callable[[bytes, bytes], bytes]:
    """Return the fastest function that unmasks: that of websockets is in C, where there is one."""
    try:
        from websockets.speedups import apply_mask  # noqa: PLC0415

        made = apply_mask(_SAMPLE, _MASK)
        if type(made) is bytes and made == unmask_in_python(_SAMPLE, _MASK):
            return apply_mask
    except Exception:  # not every site has it, and it may become another
        pass
    return unmask_in_python


unmask = choose()
