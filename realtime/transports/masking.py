"""The masking of a client's frames (RFC 6455, section 5.3)."""

from __future__ import annotations

from collections.abc import Callable


def unmask_in_python(data: bytes, mask: bytes) -> bytes:
    """Return masked bytes as they were before, or the other way round."""
    size = len(data)
    key = (mask * ((size + 3) // 4))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def _choose() -> Callable[[bytes, bytes], bytes]:
    try:
        from websockets.speedups import apply_mask  # noqa: PLC0415 - in C; not every site has it
    except ImportError:
        return unmask_in_python
    return apply_mask


unmask = _choose()
