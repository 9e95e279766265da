"""bench.wire: bytes are counted exactly, wrong verdicts are found, and all ways of asking get the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bench.counting import CountingProxy
from bench.message_bytes import message_bytes
from bench.scenes import asked_pictures
from bench.wire import service, wrong
from bench.wire_clients import Clients, Load, noise_pictures
from bench.wire_server import verdicts


async def test_the_proxy_counts_what_goes_through_and_changes_nothing() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(2 * await reader.read())
        writer.close()

    server = await asyncio.start_server(twice, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with CountingProxy(f"{host}:{port}") as proxy:
        reader, writer = await asyncio.open_connection(*proxy.endpoint.split(":"))
        writer.write(b"x" * 100_000)
        writer.write_eof()
        assert await reader.read() == b"x" * 200_000
        writer.close()
    assert (proxy.to_server, proxy.from_server, proxy.total) == (100_000, 200_000, 300_000)
    server.close()


def test_pictures_have_the_size_that_was_asked_for_and_differ() -> None:
    asked = asked_pictures(1, 0, answers=2, claims=3)
    pictures = noise_pictures(3 * asked, 1000, seed=1)
    assert [len(one.image.data) for one in pictures] == [1000, 1000, 1000]
    assert len({one.image.sha256 for one in pictures}) == 3
    assert all(one.answers == asked[0].answers for one in pictures)


def test_missing_and_wrong_verdicts_are_counted() -> None:
    (picture,) = noise_pictures(asked_pictures(1, 0, answers=1, claims=4), 100, seed=1)
    right = {(picture.image.sha256, v.question): v for v in verdicts(picture.image.sha256, picture.questions)}
    assert wrong([picture], Load(verdicts=right)) == 0
    first, second, *_ = right
    spoilt = right | {first: replace(right[first], p_yes=0.5)}
    del spoilt[second]
    assert wrong([picture], Load(verdicts=spoilt)) == 2


async def test_all_ways_of_asking_get_the_same_verdicts_over_the_wire() -> None:
    pictures = noise_pictures(2 * asked_pictures(1, 0, answers=2, claims=3), 1000, seed=1)
    async with service() as where:
        clients = Clients(where.target, 2)
        loads = [await way(pictures) for way in (clients.whole, clients.calls, clients.stream)]
        await clients.close()
    assert [wrong(pictures, load) for load in loads] == [0, 0, 0]
    assert [len(load.latencies) for load in loads] == [2, 12, 2], "requests: a picture, a claim, a picture"


async def test_a_prompt_carries_its_picture_to_policy_and_labeler_once() -> None:
    bare, pictured = [await message_bytes(4, 3, size) for size in (1000, 51_000)]
    grown = {name: pictured[name] - count for name, count in bare.items() if pictured[name] != count}
    assert grown.keys() == {"policy, request", "labeler, request"}
    assert all(50_000 <= more <= 50_010 for more in grown.values()), "the picture and longer length fields"
