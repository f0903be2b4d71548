"""Keys and the file of accounts: made once, kept private, read again when it changes; and what requests weigh."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from demo.exchange.directory import Directory, UnknownSigner, Writer
from demo.exchange.signatures import address_of, sign
from demo.exchange.weights import Budgets, weight_of
from opsconsole.local.exchange_keys import ExchangeKeys
from tests.exchange.conftest import Trader, limit, status

VAULT = "0x" + "cd" * 20


def test_keys_are_made_once_and_nobody_else_reads_them(tmp_path: Path) -> None:
    keys = ExchangeKeys(tmp_path)
    address = keys.ensure("production", ["production-blue-1"])
    before = {path: path.read_text() for path in keys.folder.iterdir()}
    assert {path.name for path in before} == {f"production-{n}.key" for n in ("master", "blue-1", "console")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in before} == {0o600}
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    assert ExchangeKeys(tmp_path).ensure("production", ["production-green-1"]) == address == keys.address("production")
    assert {path: path.read_text() for path in before} == before
    told = keys.accounts_file.read_text()
    assert not any(key.strip() in told for key in before.values()), "the exchange learns no key"
    agents = json.loads(told)["accounts"]["production"]["agents"]
    assert sorted(agents.values()) == ["production-blue-1", "production-console", "production-green-1"]
    assert agents[address_of(keys.key("production-console"))] == "production-console"


def test_one_name_may_be_an_agent_of_several_accounts(tmp_path: Path) -> None:
    keys = ExchangeKeys(tmp_path)
    for account in ("env-1", "env-2"):
        keys.ensure(account, ["production-blue-1"])
    first, second = (keys.key("production-blue-1", account) for account in ("env-1", "env-2"))
    directory = Directory(keys.accounts_file)
    assert directory.writer(address_of(first), None) == Writer("env-1", "production-blue-1")
    assert directory.writer(address_of(second), None) == Writer("env-2", "production-blue-1")


def test_the_file_is_read_again_and_half_a_file_changes_nothing(tmp_path: Path) -> None:
    keys = ExchangeKeys(tmp_path)
    keys.ensure("a", [])
    directory = Directory(keys.accounts_file)
    address = keys.ensure("b", [])
    assert directory.name_of(address) == "b"
    whole = keys.accounts_file.read_text()
    keys.accounts_file.write_text(whole[:40])
    assert directory.name_of("0x" + "0" * 40) is None and directory.name_of(address) == "b"
    with pytest.raises(ValueError, match=r"accounts\.json is no file of accounts"):
        Directory(keys.accounts_file)
    keys.accounts_file.write_text('{"accounts": {"a": {"address": "0x12"}}}')
    with pytest.raises(ValueError, match=r"accounts\.a\.address"):
        Directory(keys.accounts_file)


def test_a_vault_is_led_by_its_master_only(tmp_path: Path) -> None:
    path, master, stranger = tmp_path / "accounts.json", "0x" + "a" * 40, "0x" + "b" * 40
    accounts: dict[str, Any] = {
        "leader": {"address": master, "agents": {"0x" + "c" * 40: "leader-console"}},
        "other": {"address": stranger},
        "pool": {"address": VAULT, "master": "leader"},
    }
    path.write_text(json.dumps({"accounts": accounts}))
    directory = Directory(path)
    assert directory.writer("0x" + "c" * 40, VAULT) == Writer("pool", "leader-console")
    for signer, vault in ((stranger, VAULT), (master, stranger)):
        with pytest.raises(UnknownSigner, match="Vault not registered"):
            directory.writer(signer, vault)


def test_the_sdk_trades_for_a_vault(trader: Trader) -> None:
    keys = trader.paper.keys
    accounts = json.loads(keys.accounts_file.read_text())
    accounts["accounts"][f"{trader.name}-pool"] = {"address": VAULT, "master": trader.name}
    keys.accounts_file.write_text(json.dumps(accounts))
    trader.sdk.vault_address = VAULT
    assert "resting" in status(trader.sdk.order("ETH", True, 0.1, 2000, limit()))  # type: ignore[operator]
    assert trader.info.open_orders(trader.address) == [] and len(trader.info.open_orders(VAULT)) == 1


def test_an_action_signed_for_a_vault_counts_for_no_other(trader: Trader) -> None:
    action = {"type": "cancel", "cancels": [{"a": 0, "o": 1}]}
    signature = sign(trader.paper.keys.key(f"{trader.name}-console"), action, VAULT, 1, None)
    body = {"action": action, "nonce": 1, "vaultAddress": None, "expiresAfter": None, "signature": signature}
    assert "does not exist" in trader.paper.call("POST", "/exchange", body)["response"]


@pytest.mark.parametrize(
    ("path", "body", "weight"),
    [
        ("/info", {"type": "clearinghouseState"}, 2),
        ("/info", {"type": "allMids"}, 2),
        ("/info", {"type": "frontendOpenOrders"}, 20),
        ("/info", {"type": "userRole"}, 60),
        ("/exchange", {"action": {"type": "order", "orders": [{}] * 39}}, 1),
        ("/exchange", {"action": {"type": "cancel", "cancels": [{}] * 80}}, 3),
        ("/exchange", {"action": {"type": "scheduleCancel"}}, 1),
        ("/exchange", {"action": "nonsense"}, 1),
    ],
)
def test_weights(path: str, body: dict[str, Any], weight: int) -> None:
    assert weight_of(path, body) == weight


def test_a_budget_refills_steadily() -> None:
    now, here, there = [1000.0], ("1", "a"), ("1", "b")
    budgets = Budgets(lambda: now[0])
    assert budgets.spend(here, 10**6), "off without a limit"
    budgets.clear()
    budgets.limit = 1200
    assert budgets.spend(here, 1200) and not budgets.spend(here, 1) and budgets.spend(there, 20)
    now[0] += 1.0
    assert budgets.spend(here, 20) and not budgets.spend(here, 1)
    budgets.preset(1200, "c")
    assert not budgets.spend(("9", "c"), 1) and budgets.spend(("9", "b"), 1200)
    now[0] += 30.0
    assert budgets.spend(("8", "c"), 600), "who was not seen yet has refilled, too"
