"""Keys at the paper exchange: one for each account, one for each of its agents, made once and kept.

``<folder>/keys/<name>.key`` (mode 600) holds a private key in hex: ``production-master`` is the account's own,
``production-blue-1`` an instance's, ``production-console`` the console's. ``<folder>/accounts.json`` tells the exchange
which address acts for which account; it holds no secret.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from demo.exchange.signatures import address_of
from opsconsole.local.paths import write_private


class ExchangeKeys:
    """The keys below one folder. Keys and addresses are hex with 0x, addresses in lower case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "keys"
        self.accounts_file = folder / "accounts.json"

    def ensure(self, account: str, agents: Iterable[str]) -> str:
        """Make what is missing of an account with these agents and the console's; the account's address.

        Agents that the account had before stay. The exchange reads the file again when a new signer appears.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = self._read()
        entry = known.setdefault(account, {"address": self._address(f"{account}-master"), "agents": {}})
        named = {*entry["agents"].values()}
        wanted = [name for name in (*agents, f"{account}-console") if name not in named]
        if wanted or not self.accounts_file.exists():
            entry["agents"] |= {self._address(name, account): name for name in wanted}
            write_private(self.accounts_file, json.dumps({"accounts": known}, indent=1))
        return str(entry["address"])

    def file(self, name: str, account: str = "") -> Path:
        """The file with the key of an agent, or of ``<account>-master``.

        `account` is needed for an agent whose name does not begin with it: the name may occur in several accounts.
        """
        return self.folder / (f"{name}.key" if name.startswith(account) else f"{account}.{name}.key")

    def key(self, name: str, account: str = "") -> str:
        """The private key of an agent, or of ``<account>-master``; see `file`."""
        return self.file(name, account).read_text().strip()

    def address(self, account: str) -> str:
        """The address of an account. Raises KeyError when it was never made."""
        return str(self._read()[account]["address"])

    def _address(self, name: str, account: str = "") -> str:
        path = self.file(name, account)
        while not path.exists():
            key = "0x" + secrets.token_bytes(32).hex()
            # Almost every number of 32 bytes is a key.
            with suppress(ValueError):
                address_of(key)
                write_private(path, key + "\n")
        path.chmod(0o600)
        return address_of(self.key(name, account))

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.accounts_file.exists():
            return {}
        accounts: dict[str, dict[str, Any]] = json.loads(self.accounts_file.read_text())["accounts"]
        return accounts
