"""Places in vLLM's batch: in order, bounded, and closed while weights change."""

from __future__ import annotations

import asyncio

import pytest

from rlaifv.adapters.vllm.options import VllmOptions
from rlaifv.adapters.vllm.slots import Slots
from rlaifv.core.errors import InvalidInput, Overloaded


async def hold(slots: Slots, rows: int, begun: list[int], name: int, until: asyncio.Event) -> None:
    async with slots.begin(rows):
        begun.append(name)
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_items_begin_in_order_while_fewer_rows_than_there_are_are_taken() -> None:
    slots, begun, done = Slots(4, 10), list[int](), [asyncio.Event() for _ in range(4)]
    tasks = [asyncio.create_task(hold(slots, 3, begun, name, done[name])) for name in range(4)]
    await settle()
    assert (begun, slots.taken, slots.waiting) == ([0, 1], 6, 2)
    done[1].set()
    await settle()
    assert (begun, slots.taken) == ([0, 1, 2], 6)
    done[0].set(), done[2].set(), done[3].set()
    await asyncio.gather(*tasks)
    assert (begun, slots.taken, slots.waiting) == ([0, 1, 2, 3], 0, 0)


async def test_a_full_queue_refuses_and_a_cancelled_item_gives_its_place_back() -> None:
    slots, begun, never = Slots(1, 1), list[int](), asyncio.Event()
    first, second = (asyncio.create_task(hold(slots, 1, begun, name, never)) for name in range(2))
    await settle()
    assert slots.full
    with pytest.raises(Overloaded, match="1 items are waiting already"):
        await hold(slots, 1, begun, 2, never)
    second.cancel()
    await settle()
    assert not slots.full
    # Cancelled in the very moment in which its turn comes.
    third = asyncio.create_task(hold(slots, 1, begun, 3, never))
    await settle()
    first.cancel()
    await asyncio.sleep(0)
    third.cancel()
    await settle()
    assert (slots.taken, slots.waiting) == (0, 0)


async def test_nobody_begins_while_closed_and_what_has_begun_ends_first() -> None:
    slots, begun, end, entered = Slots(8, 10), list[int](), asyncio.Event(), list[list[int]]()

    async def change() -> None:
        async with slots.closed():
            entered.append(list(begun))
            await settle()
            assert slots.taken == 0
            entered.append(list(begun))

    first = asyncio.create_task(hold(slots, 2, begun, 0, end))
    await settle()
    changing = asyncio.create_task(change())
    await settle()
    later = [asyncio.create_task(hold(slots, 2, begun, name, end)) for name in (1, 2)]
    await settle()
    assert (begun, entered) == ([0], [])
    end.set()
    await asyncio.gather(first, changing, *later)
    assert entered == [[0], [0]]
    assert begun == [0, 1, 2]


def test_options_say_what_is_left_to_vllm() -> None:
    cpu, gpu = VllmOptions(), VllmOptions(device="cuda", max_lora_rank=33)
    assert (cpu.kv_block_size, cpu.kv_bytes, cpu.lora_rank) == (32, 4 * 2**30, 64)
    assert (gpu.kv_block_size, gpu.kv_bytes, gpu.lora_rank) == (None, None, 64)
    with pytest.raises(InvalidInput, match="CUDA_VISIBLE_DEVICES"):
        VllmOptions(device="cuda:1")
