"""The order desk and its client, in this process, against a real exchange: what happens to an order under way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest

from demo.trading_system.account import Account
from demo.trading_system.desk import Desk, NotPermitted
from demo.trading_system.exchange import ExchangeClient, ExchangeUnreachable
from demo.trading_system.handover import Handover
from demo.trading_system.roles import Grant, Role
from demo.trading_system.signing import Signer
from demo.trading_system.store import AuthorityFile
from tests.demo.processes import Exchange, Stack

SIZE = Decimal("0.01")


@dataclass
class Trader:
    """The trading parts of an instance, without strategies."""

    grant: Grant
    account: Account
    desk: Desk
    handover: Handover


@asynccontextmanager
async def trader(exchange: Exchange, stack: Stack, line: str | None = None) -> AsyncIterator[Trader]:
    """A trader that is ACTIVE with epoch 1."""
    account = exchange.account(stack.environment, "desk-blue-1")
    signer = Signer(exchange.keys.key("desk-blue-1", stack.environment))
    grant, client = Grant(AuthorityFile(stack.directory)), ExchangeClient(line or exchange.url, account, signer)
    await client.open()
    known = Account(client)
    desk = Desk(grant, known)
    handover = Handover(grant, known, desk, lambda: None)
    await handover.change(Role.ACTIVE, 1)
    try:
        yield Trader(grant, known, desk, handover)
    finally:
        await client.close()


@dataclass
class Line:
    """A line to the exchange with faults: seconds by which requests are held up, and whether order replies are lost."""

    hold_orders: float = 0.0
    hold_reads: float = 0.0
    lose_replies: bool = False
    url: str = ""


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """One whole HTTP message. Raises IncompleteReadError at the end of the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0].split(b":")[1]))


@asynccontextmanager
async def faulty_line(exchange: Exchange, line: Line) -> AsyncIterator[Line]:
    """Carries requests to the exchange and replies back, as the line says at that moment."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection("127.0.0.1", exchange.port)
        try:
            while True:
                message = await read_message(reader)
                is_order = message.startswith(b"POST /exchange")
                await asyncio.sleep(line.hold_orders if is_order else line.hold_reads)
                outward.write(message)
                answer = await read_message(inward)
                if is_order and line.lose_replies:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            outward.close()
            writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    line.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()


def test_the_role_is_asked_at_the_moment_of_sending(stack: Stack, exchange: Exchange) -> None:
    async def work() -> None:
        async with trader(exchange, stack) as t:
            stopped = t.grant.stopped
            await t.desk.place("BTC", "buy", SIZE)
            assert not stopped.is_set()
            t.grant.become(Role.STANDBY)
            assert stopped.is_set()
            for attempt in (t.desk.place("BTC", "buy", SIZE), t.desk.close("BTC"), t.desk.cancel()):
                with pytest.raises(NotPermitted):
                    await attempt
            assert len(exchange.log_of(stack.environment)) == 1

    asyncio.run(work())


def test_a_stand_down_waits_for_the_order_under_way(stack: Stack, exchange: Exchange) -> None:
    async def work() -> None:
        async with (
            faulty_line(exchange, Line(hold_orders=0.2)) as line,
            trader(exchange, stack, line.url) as t,
        ):
            order = asyncio.create_task(t.desk.place("BTC", "buy", SIZE))
            # One turn of the loop: the order has left and has not reached the exchange.
            await asyncio.sleep(0)
            answer = await t.handover.change(Role.STANDBY, 2)
            (entry,) = exchange.log_of(stack.environment)
            assert entry["epoch"] == 1 and entry["at"] < answer.since
            assert (await order).fill.size == t.account.ledger.size("BTC") == SIZE

    asyncio.run(work())


def test_a_halt_while_taking_over_is_not_overwritten(stack: Stack, exchange: Exchange) -> None:
    async def work() -> None:
        async with (
            faulty_line(exchange, Line()) as line,
            trader(exchange, stack, line.url) as t,
        ):
            await t.handover.change(Role.STANDBY, 2)
            line.hold_reads = 0.2
            taking_over = asyncio.create_task(t.handover.change(Role.ACTIVE, 3))
            asyncio.get_running_loop().call_later(0.1, t.grant.become, Role.HALTED)
            with pytest.raises(NotPermitted, match="halted"):
                await taking_over
            assert t.grant.role is Role.HALTED and not t.grant.may_trade

    asyncio.run(work())


def test_a_lost_reply_is_resolved_from_the_exchange(stack: Stack, exchange: Exchange) -> None:
    async def work() -> None:
        async with (
            faulty_line(exchange, Line(lose_replies=True)) as line,
            trader(exchange, stack, line.url) as t,
        ):
            execution = await t.desk.place("BTC", "buy", SIZE)
            assert execution.fill.size == SIZE and t.account.ledger.size("BTC") == SIZE
            assert len(exchange.log_of(stack.environment)) == 1

    asyncio.run(work())


def test_an_order_that_comes_too_late_never_executes(stack: Stack) -> None:
    exchange = stack.exchange()
    assert exchange.process is not None
    pid = exchange.process.pid

    async def work() -> None:
        async with trader(exchange, stack) as t:
            os.kill(pid, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(0.8, os.kill, pid, signal.SIGCONT)
            with pytest.raises(ExchangeUnreachable, match="expired"):
                await t.desk.place("BTC", "buy", SIZE)
            await t.handover.change(Role.STANDBY, 2)
            assert exchange.log_of(stack.environment) == []

    asyncio.run(work())


def test_resting_orders_of_a_dead_writer_are_removed_on_taking_over(stack: Stack, exchange: Exchange) -> None:
    exchange.order(stack.environment, p="50000", t={"limit": {"tif": "Gtc"}})
    exchange.order(stack.environment, s="0.02")

    async def work() -> None:
        async with trader(exchange, stack) as t:
            assert t.account.ledger.size("BTC") == Decimal("0.02")
            assert t.account.open_orders == []

    asyncio.run(work())
    assert exchange.info(type="openOrders", user=stack.environment) == []
