"""The outbox that polls empty, and the inbox that POSTs fill."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.exceptions import UnexpectedPacket
from realtime.protocol import engineio
from realtime.protocol.frames import Frames
from realtime.transports.polling import PollingInbox, PollingWriter
from realtime.webservers.writers import GOING_AWAY, NORMAL

from ..probes import DEADLINE


async def poll(writer: PollingWriter) -> str:
    """Return what a client gets that does not go away."""
    payload = await writer.poll(asyncio.Event().wait)
    assert payload is not None
    return payload


@given(st.lists(st.lists(st.binary(max_size=3) | st.just("4text"), min_size=1, max_size=40)))
def test_payloads_have_at_most_16_packets(messages: list[list[str | bytes]]) -> None:
    async def poll_all() -> list[str]:
        writer = PollingWriter()
        for frames in messages:
            writer.write(Frames(frames[0], tuple(frames[1:])))
        assert (writer.buffered > 0) == bool(messages)
        packets: list[str] = []
        while writer.buffered:
            payload = (await poll(writer)).split(engineio.SEPARATOR)
            assert len(payload) <= 16
            packets += payload
        return packets

    expected = [engineio.payload_part(frame) for frames in messages for frame in frames]
    assert asyncio.run(poll_all()) == expected


async def test_a_poll_waits_for_the_first_message() -> None:
    writer = PollingWriter()
    waiting = asyncio.create_task(poll(writer))
    await asyncio.sleep(0)
    assert writer.polled
    with pytest.raises(UnexpectedPacket):
        await poll(writer)
    writer.write(Frames("4one"))
    writer.write(Frames("4two"))
    assert await waiting == "4one\x1e4two"
    assert not writer.polled
    assert writer.buffered == 0


async def test_a_client_that_goes_away_while_it_waits_takes_nothing_along() -> None:
    writer = PollingWriter()
    gone = asyncio.Event()
    waiting = asyncio.create_task(writer.poll(gone.wait))
    await asyncio.sleep(0)
    gone.set()
    assert await waiting is None
    assert not writer.polled
    writer.write(Frames("4one"))
    assert await poll(writer) == "4one"


async def test_what_comes_as_the_client_goes_away_is_in_one_place() -> None:
    writer = PollingWriter()
    gone = asyncio.Event()
    waiting = asyncio.create_task(writer.poll(gone.wait))
    await asyncio.sleep(0)
    writer.write(Frames("4one"))
    gone.set()
    writer.write(Frames("4two"))
    payload = await waiting
    assert payload == "4one\x1e4two" or (payload is None and await poll(writer) == "4one\x1e4two")
    await asyncio.sleep(0)  # nothing is left that would end the next wait


async def test_polls_do_not_wait_while_the_client_moves_to_a_websocket() -> None:
    writer = PollingWriter()
    waiting = asyncio.create_task(poll(writer))
    await asyncio.sleep(0)
    writer.hurry(True)
    assert await waiting == "6"
    assert await poll(writer) == "6", "one that comes a moment later neither"
    writer.write(Frames("4one"))
    assert await poll(writer) == "4one"
    writer.hurry(False)
    waiting = asyncio.create_task(poll(writer))
    await asyncio.sleep(0)
    assert writer.polled
    writer.write(Frames("4two"))
    assert await waiting == "4two"


@pytest.mark.parametrize(("code", "payload"), [(NORMAL, "4last\x1e1"), (GOING_AWAY, "4last")])
async def test_the_last_payload(code: int, payload: str) -> None:
    writer = PollingWriter()
    writer.write(Frames("4last"))
    writer.close(code, "")
    writer.write(Frames("4too late"))
    assert await poll(writer) == payload
    assert await poll(writer) == "6", "nothing more comes, and nobody waits for it"


@pytest.mark.parametrize(("code", "payload"), [(NORMAL, "1"), (GOING_AWAY, "6")])
async def test_a_poll_that_waits_at_the_end(code: int, payload: str) -> None:
    writer = PollingWriter()
    waiting = asyncio.create_task(poll(writer))
    await asyncio.sleep(0)
    writer.close(code, "")
    assert await asyncio.wait_for(waiting, DEADLINE) == payload


async def test_abort_forgets_what_waits() -> None:
    writer = PollingWriter()
    writer.write(Frames("4lost"))
    writer.abort()
    assert writer.buffered == 0
    assert await poll(writer) == "6"


async def test_what_waits_is_given_to_another_writer() -> None:
    writer = PollingWriter()
    writer.write(Frames("4one", (b"two",)))
    assert [frames.frames for frames in writer.release()] == [("4one", b"two")]
    assert writer.buffered == 0


async def test_the_inbox_gives_frames_in_order() -> None:
    inbox = PollingInbox()
    inbox.put(["4one", b"two"])
    taken = asyncio.create_task(inbox.wait_empty())
    assert [await inbox.receive(), await inbox.receive()] == ["4one", b"two"]
    assert not taken.done(), "the last one may be at work"
    last = asyncio.create_task(inbox.receive())
    await asyncio.wait_for(taken, DEADLINE)
    inbox.put(["4three"])
    assert await last == "4three"
    inbox.put(["4four"])
    inbox.close()
    assert [await inbox.receive(), await inbox.receive()] == ["4four", None]
    await asyncio.wait_for(inbox.wait_empty(), DEADLINE)


# What is held while a session may go to another process


async def read_all(inbox: PollingInbox) -> list[str | bytes]:
    """Return what the reader is given now."""
    reading = asyncio.ensure_future(inbox.receive())
    await asyncio.sleep(0)
    read = []
    while reading.done():
        frame = reading.result()
        if frame is None:
            return read
        read.append(frame)
        reading = asyncio.ensure_future(inbox.receive())
        await asyncio.sleep(0)
    reading.cancel()
    return read


async def test_only_acknowledgements_and_control_packets_pass_while_it_is_held() -> None:
    inbox = PollingInbox()
    inbox.put(['451-["last",{"_placeholder":true,"num":0}]'])
    inbox.hold(1000)
    inbox.put([b"its own", '42["a"]', "3", '430["yes"]', "40/x,", "41/x,"])
    inbox.put(['451-["b",{"_placeholder":true,"num":0}]', b"b", '461-1[{"num":0}]', b"ack", "1"])
    passed = ['451-["last",{"_placeholder":true,"num":0}]', b"its own", "3", '430["yes"]']
    assert await read_all(inbox) == [*passed, '461-1[{"num":0}]', b"ack", "1"]
    held = ['42["a"]', "40/x,", "41/x,", '451-["b",{"_placeholder":true,"num":0}]', b"b"]
    inbox.put(['42["c"]'])
    inbox.release()
    inbox.put(['42["d"]'])
    assert await read_all(inbox) == [*held, '42["c"]', '42["d"]']


async def test_a_post_of_more_than_may_be_held_waits() -> None:
    inbox = PollingInbox()
    inbox.hold(10)
    assert await read_all(inbox) == []
    inbox.put(['42["a"]'])
    await asyncio.wait_for(inbox.wait_empty(), DEADLINE)
    inbox.put(['42["more"]'])
    waiting = asyncio.ensure_future(inbox.wait_empty())
    await read_all(inbox)
    assert not waiting.done()
    inbox.release()
    assert await read_all(inbox) == ['42["a"]', '42["more"]']
    await asyncio.wait_for(waiting, DEADLINE)


async def test_what_was_held_is_taken() -> None:
    inbox = PollingInbox()
    inbox.hold(5)
    inbox.put(["3", '42["a"]'])
    waiting = asyncio.ensure_future(inbox.wait_empty())
    assert inbox.take() == ["3", '42["a"]']
    inbox.close()
    await asyncio.wait_for(waiting, DEADLINE)
    assert await read_all(inbox) == []
