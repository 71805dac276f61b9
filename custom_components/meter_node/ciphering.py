"""AES-128-GCM for the channel, on the library that Home Assistant ships; must not know frames."""

from __future__ import annotations

from hmac import compare_digest
from typing import override

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .channel.apdu import TAG_LENGTH
from .channel.security import Aead, InvalidTagError

_WHOLE_TAG = 16
"""What the library appends; the channel's tag is its first twelve bytes (SP 800-38D, 5.2.1.2)."""


class AesGcm(Aead):
    """The channel's ``Aead`` by ``cryptography``, for the few keys of one meter.

    The library opens no frame with a tag of twelve bytes but by a cipher that is set up anew for
    each, which takes longer than the frame itself. So a cipher is kept by key, and the tag is
    made once more and compared: counter mode is its own inverse.
    """

    def __init__(self) -> None:
        """No key was used yet."""
        self._ciphers: dict[bytes, AESGCM] = {}

    @override
    def seal(self, key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> bytes:
        """Return ciphertext and tag."""
        sealed = self._cipher(key).encrypt(nonce, plaintext, associated)
        return sealed[: TAG_LENGTH - _WHOLE_TAG]

    @override
    def open(self, key: bytes, nonce: bytes, associated: bytes, protected: bytes) -> bytes:
        """Return the plaintext. Raises InvalidTagError, and then reveals nothing."""
        cipher = self._cipher(key)
        plaintext = cipher.encrypt(nonce, protected[:-TAG_LENGTH], None)[:-_WHOLE_TAG]
        sealed = cipher.encrypt(nonce, plaintext, associated)
        if not compare_digest(sealed[: TAG_LENGTH - _WHOLE_TAG], protected):
            raise InvalidTagError
        return plaintext

    @override
    def unverified(self, key: bytes, nonce: bytes, protected: bytes) -> bytes:
        """Return what the ciphertext would say if its tag fitted: for a diagnosis, never a use."""
        return self._cipher(key).encrypt(nonce, protected[:-TAG_LENGTH], None)[:-_WHOLE_TAG]

    def _cipher(self, key: bytes) -> AESGCM:
        """Return the key's cipher, which is set up once."""
        cipher = self._ciphers.get(key)
        if cipher is None:
            cipher = self._ciphers[key] = AESGCM(key)
        return cipher
