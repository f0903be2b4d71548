"""Who may act: signatures, agents, nonces and expiry, by the official SDK and against it."""

from __future__ import annotations

import time
from typing import Any

import eth_account
import pytest
from hyperliquid.exchange import Exchange
from hyperliquid.utils.signing import action_hash, recover_agent_or_user_from_l1_action, sign_l1_action

from demo.exchange import signatures
from demo.exchange.nonces import BadNonce, Nonces
from demo.trading_system.signing import Signer
from tests.exchange.conftest import Trader, limit, status
from tests.exchange.processes import PaperExchange

KEY = "0x" + "7" * 64
VAULT = "0x" + "ab" * 20
ACTION = {
    "type": "order",
    "orders": [{"a": 1, "b": True, "p": "3000.5", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}],
    "grouping": "na",
}


@pytest.mark.parametrize("expires", [None, 1_790_000_000_000])
@pytest.mark.parametrize("vault", [None, VAULT])
def test_the_hash_is_the_sdks(vault: str | None, expires: int | None) -> None:
    wallet = eth_account.Account.from_key(KEY)
    official: Any = sign_l1_action(wallet, ACTION, vault, 1_790_000_000_123, expires, False)
    numbers = (int(official["r"], 16), int(official["s"], 16), official["v"])
    message = signatures.digest(ACTION, vault, 1_790_000_000_123, expires)
    assert signatures.recover(message, numbers) == wallet.address.lower() == signatures.address_of(KEY)
    ours = signatures.sign(KEY, ACTION, vault, 1_790_000_000_123, expires)
    assert (int(ours["r"], 16), int(ours["s"], 16), ours["v"]) == numbers
    assert action_hash(ACTION, vault, 1, expires) != action_hash(ACTION, vault, 2, expires)


@pytest.mark.parametrize("expires", [None, 1_790_000_000_000])
def test_the_trading_systems_signature_is_one_that_the_sdk_recovers(expires: int | None) -> None:
    signer = Signer(KEY)
    nonces = [signer.nonce() for _ in range(1000)]
    assert nonces == sorted(set(nonces))
    signature = signer.sign(ACTION, nonces[0], expires)
    found = recover_agent_or_user_from_l1_action(ACTION, signature, None, nonces[0], expires, False)
    assert found == eth_account.Account.from_key(KEY).address


def test_a_signature_that_no_key_can_have_made() -> None:
    for numbers in ((0, 0, 27), (1, 2**256 - 1, 27), (2**256, 1, 27), (1, 1, 999)):
        with pytest.raises(signatures.BadSignature):
            signatures.recover(b"\x01" * 32, numbers)


def test_a_stranger_is_refused_by_name(trader: Trader) -> None:
    stranger = eth_account.Account.create()
    sdk = Exchange(stranger, trader.paper.url, account_address=trader.address, timeout=3)
    answer = sdk.order("ETH", True, 0.1, 3000, limit())
    expected = f"User or API Wallet {stranger.address.lower()} does not exist."
    assert answer == {"status": "err", "response": expected}
    assert trader.info.open_orders(trader.address) == [] and trader.log() == []


def test_the_log_names_the_agent_and_the_accounts_own_key(trader: Trader) -> None:
    for agent in (f"{trader.name}-console", f"{trader.name}-blue-1", f"{trader.name}-master"):
        status(trader.paper.client(trader.name, agent).order("ETH", True, 0.1, 2000, limit()))
    writers = [entry["writer"] for entry in trader.log()]
    assert writers == [f"{trader.name}-console", f"{trader.name}-blue-1", "master"]
    assert len(trader.info.open_orders(trader.address)) == 3, "all of them act for the same account"
    agent = trader.paper.client(trader.name).wallet.address
    assert trader.info.open_orders(agent) == [], "as at the real exchange, an agent's address has no account"
    assert trader.info.user_role(agent) == {"role": "agent", "data": {"user": trader.address}}
    assert {row["name"] for row in trader.info.extra_agents(trader.address)} >= {f"{trader.name}-console"}


def test_what_was_signed_cannot_be_changed(trader: Trader) -> None:
    action = {"type": "cancel", "cancels": [{"a": 0, "o": 1}]}
    nonce, key = int(time.time() * 1000), trader.paper.keys.key(f"{trader.name}-console")
    body = {"action": action, "nonce": nonce, "vaultAddress": None, "expiresAfter": None}
    signed = body | {"signature": signatures.sign(key, action, None, nonce, None)}
    changes: list[dict[str, Any]] = [
        {"action": action | {"cancels": [{"a": 0, "o": 2}]}},
        {"action": {"cancels": [{"a": 0, "o": 1}], "type": "cancel"}},
        {"nonce": nonce + 1},
        {"expiresAfter": nonce + 60_000},
        {"vaultAddress": trader.address},
    ]
    for change in changes:
        answer = trader.paper.call("POST", "/exchange", signed | change)
        assert answer["status"] == "err" and "does not exist" in answer["response"], change
    assert trader.paper.call("POST", "/exchange", signed)["status"] == "ok"
    again = trader.paper.call("POST", "/exchange", signed)
    assert again["status"] == "err" and "duplicate nonce" in again["response"]


def test_nonces_of_a_signer() -> None:
    now, day, nonces = 1_790_000_000_000, 86_400_000, Nonces()
    for nonce in range(now, now + 200, 2):
        nonces.use("a", nonce, now)
    for bad, words in ((now + 198, "duplicate"), (now - 1, "below"), (now - 3 * day, "far"), (now + 2 * day, "far")):
        with pytest.raises(BadNonce, match=words):
            nonces.use("a", bad, now)
    nonces.use("a", now + 1, now)
    with pytest.raises(BadNonce, match="below"):
        nonces.use("a", now, now)
    nonces.use("b", now, now)


def test_an_expired_action_is_refused(trader: Trader) -> None:
    trader.sdk.set_expires_after(int(time.time() * 1000) - 1)
    assert trader.sdk.order("ETH", True, 0.1, 2000, limit()) == {"status": "err", "response": "Action expired."}
    trader.sdk.set_expires_after(int(time.time() * 1000) + 5_000)
    assert "resting" in status(trader.sdk.order("ETH", True, 0.1, 2000, limit()))  # type: ignore[operator]


def test_an_account_made_while_the_exchange_runs(paper: PaperExchange) -> None:
    address = paper.account("latecomer")
    sdk = paper.client("latecomer")
    assert sdk.info.user_state(address)["assetPositions"] == []
    assert "filled" in status(sdk.market_open("BTC", True, 0.001))  # type: ignore[operator]
    assert paper.positions("latecomer") == {"BTC": "0.001"}
