"""Who may act for which account: names, addresses and agents, from a file that is read again when it has changed.

    {"accounts": {"production": {"address": "0x…", "agents": {"0x…": "production-blue-1", …}}}}

An account with `"master": "production"` is a vault: production and its agents act for it by `vaultAddress`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.exchange.wire import BadRequest, address

MASTER = "master"


class UnknownSigner(Exception):
    """Nobody with this address may act; the text is the exchange's answer."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who acts: the account's name, and the name of the agent (`master` for the account's own key)."""

    account: str
    name: str


class Directory:
    """The accounts of the file. Raises ValueError when it cannot be read at the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._signers: dict[str, Writer] = {}
        self._names: dict[str, str] = {}
        self._masters: dict[str, str] = {}
        self._seen: tuple[int, int] | None = None
        self._read()

    def name_of(self, user: str) -> str | None:
        """The name of the account with this address (lower case), or None."""
        if user not in self._names:
            self._read_again()
        return self._names.get(user)

    def address_of(self, name: str) -> str | None:
        """The address of the account with this name, or None."""
        return next((user for user, known in self._names.items() if known == name), None)

    def names(self) -> list[str]:
        """The names of all accounts that the file has now."""
        self._read_again()
        return list(self._names.values())

    def agents_of(self, name: str) -> dict[str, str]:
        """Address and name of each agent of an account."""
        found = {user: writer for user, writer in self._signers.items() if writer.account == name}
        return {user: writer.name for user, writer in found.items() if writer.name != MASTER}

    def master_of(self, user: str) -> str | None:
        """The address of the account for which this address (lower case) is an agent, or None."""
        writer = self._signers.get(user)
        return self.address_of(writer.account) if writer is not None and writer.name != MASTER else None

    def writer(self, signer: str, vault: str | None) -> Writer:
        """Who acts with this signature, for itself or for a vault. Raises UnknownSigner."""
        if signer not in self._signers:
            self._read_again()
        writer = self._signers.get(signer)
        if writer is None:
            raise UnknownSigner(f"User or API Wallet {signer} does not exist.")
        if vault is None:
            return writer
        name = self.name_of(vault)
        if name is None or self._masters.get(name) != writer.account:
            raise UnknownSigner(f"Vault not registered: {vault}")
        return Writer(name, writer.name)

    def _read_again(self) -> None:
        try:
            self._read()
        except ValueError:
            # Half a file, or none at this moment: what was known goes on.
            return

    def _read(self) -> None:
        try:
            stat = self.path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
            if seen == self._seen:
                return
            accounts = json.loads(self.path.read_text())["accounts"]
            signers: dict[str, Writer] = {}
            names: dict[str, str] = {}
            masters: dict[str, str] = {}
            for name, raw in accounts.items():
                where, user = f"accounts.{name}", address(raw["address"], f"accounts.{name}.address")
                names[user] = name
                signers[user] = Writer(name, MASTER)
                signers |= {address(a, f"{where}.agents"): Writer(name, n) for a, n in raw.get("agents", {}).items()}
                masters |= _master(name, raw)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, BadRequest) as error:
            raise ValueError(f"{self.path} is no file of accounts: {error}") from error
        self._signers, self._names, self._masters, self._seen = signers, names, masters, seen


def _master(name: str, raw: dict[str, Any]) -> dict[str, str]:
    return {name: str(raw["master"])} if "master" in raw else {}
