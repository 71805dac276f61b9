"""Checks every byte that the meter ciphered, with `cryptography` alone: tags, numbers, contents.

Shares no code with the server but A-XDR's lengths. The strangers' client checks no tag itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meter_node.channel import axdr
from tests.meter_node.cosem.site import CONSUMER, MANAGEMENT, TITLE, fields, gcm_open

_KEYS = {1: MANAGEMENT, 20: CONSUMER}
_CIPHERED = {0xCC: 0xC4, 0xCD: 0xC5, 0xCF: 0xC7, 0x28: 0x08}
"""Service-specific ciphered answers, and what must be inside."""
_ANSWERS = {0xC4, 0xC5, 0xC7}
_GENERAL_GLO, _AARE, _RLRE, _AARQ = 0xDB, 0x61, 0x63, 0x60
_GMAC = 5


@dataclass
class Audit:
    """What a meter answered, and to which client."""

    heard: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    opened: int = 0
    """Ciphered answers whose tags fit."""
    proofs: int = 0
    _numbers: dict[bytes, list[int]] = field(default_factory=dict)
    """Of each key, the numbers that were used under it, in their order."""
    _proofs: dict[bytes, list[int]] = field(default_factory=dict)
    _challenge: bytes = b""

    def hear(self, client: int, asked: bytes, answer: bytes) -> None:
        """Take note of a request and its answer."""
        self.heard.append((client, asked, answer))

    def check(self) -> None:
        """Open all of it. No number may come twice, and each must be higher than the last."""
        is_ciphered = False
        self.opened = self.proofs = 0
        self._numbers, self._proofs = {}, {}
        for client, asked, answer in self.heard:
            if asked[0] == _AARQ:
                is_ciphered = self._opening(client, asked, answer)
            elif is_ciphered and answer[0] != _RLRE:
                inside = self._open(client, answer)
                assert inside[0] in _ANSWERS, inside.hex()
                if self._challenge:  # the first that is answered is its own proof
                    self._proof(client, inside)
            else:
                assert answer[0] in {*_ANSWERS, _RLRE}, answer.hex()
        for key, numbers in self._numbers.items():
            assert numbers == sorted(set(numbers))
            assert not set(numbers) & set(self._proofs.get(key, ()))

    def _opening(self, client: int, asked: bytes, answer: bytes) -> bool:
        aare, aarq = fields(fields(answer)[_AARE]), fields(fields(asked)[_AARQ])
        assert aare[0xA2] == b"\x02\x01\x00", "no association"
        context = aare[0xA1][-1]
        is_hls = aarq.get(0x8B, b"\x00")[-1] == _GMAC
        self._challenge = fields(aarq[0xAC])[0x80] if is_hls else b""
        if context == 1:
            return False
        assert context == 3
        assert aare[0xA4] == b"\x04\x08" + TITLE
        assert self._open(client, fields(aare[0xBE])[0x04])[0] == 0x08
        return True

    def _open(self, client: int, apdu: bytes) -> bytes:
        tag, at = apdu[0], 1
        if tag == _GENERAL_GLO:
            assert apdu[1:10] == b"\x08" + TITLE
            at = 10
        else:
            assert tag in _CIPHERED, f"not ciphered: {apdu.hex()}"
        length, at = axdr.decode_length(apdu, at)
        content, keys = apdu[at:], _KEYS[client]
        assert len(content) == length
        assert content[0] == 0x30, "authenticated and encrypted"
        associated = b"\x30" + keys.authentication
        inside = gcm_open(keys.encryption, TITLE + content[1:5], associated, content[5:])
        assert tag == _GENERAL_GLO or inside[0] == _CIPHERED[tag]
        self._numbers.setdefault(keys.encryption, []).append(int.from_bytes(content[1:5]))
        self.opened += 1
        return inside

    def _proof(self, client: int, inside: bytes) -> None:
        """The meter's proof of who it is, over the client's challenge."""
        assert inside[:2] == b"\xc7\x01"
        assert inside[3:8] == b"\x00\x01\x00\x09\x11"  # success, with 17 bytes
        proof, keys = inside[8:], _KEYS[client]
        assert proof[0] == 0x10
        associated = b"\x10" + keys.authentication + self._challenge
        assert gcm_open(keys.encryption, TITLE + proof[1:5], associated, proof[5:]) == b""
        self._proofs.setdefault(keys.encryption, []).append(int.from_bytes(proof[1:5]))
        self._challenge = b""
        self.proofs += 1
