"""Nonces: each signer may use each once, within a window of time, above the smallest of its newest hundred."""

import heapq

KEPT = 100
BEHIND_MS = 2 * 86_400_000
AHEAD_MS = 86_400_000


class BadNonce(Exception):
    """The nonce was used, or is too old or too far ahead; the text is the exchange's answer."""


class Nonces:
    """The newest nonces of every signer."""

    def __init__(self) -> None:
        self.by_signer: dict[str, list[int]] = {}

    def use(self, signer: str, nonce: int, now_ms: int) -> None:
        """Takes a nonce. Raises BadNonce."""
        if not now_ms - BEHIND_MS < nonce < now_ms + AHEAD_MS:
            raise BadNonce(f"Invalid nonce: {nonce} is too far from the time {now_ms}.")
        heap = self.by_signer.setdefault(signer, [])
        if nonce in heap:
            raise BadNonce(f"Invalid nonce: duplicate nonce {nonce}.")
        if len(heap) < KEPT:
            heapq.heappush(heap, nonce)
        elif nonce < heap[0]:
            raise BadNonce(f"Invalid nonce: {nonce} is below the {KEPT} highest nonces.")
        else:
            heapq.heapreplace(heap, nonce)
