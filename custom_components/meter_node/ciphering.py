"""AES-128-GCM for the channel, on the library that Home Assistant ships; must not know frames."""

from __future__ import annotations

from typing import override

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from .channel.apdu import TAG_LENGTH
from .channel.security import Aead, InvalidTagError

_FIRST_COUNTER_BLOCK = b"\x00\x00\x00\x02"
"""With a 12-byte nonce, GCM encrypts from counter block 2 (NIST SP 800-38D, 7.1)."""


class AesGcm(Aead):
    """The channel's ``Aead`` by ``cryptography``."""

    @override
    def seal(self, key: bytes, nonce: bytes, associated: bytes, plaintext: bytes) -> bytes:
        """Return ciphertext and tag."""
        encryptor = Cipher(AES(key), modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(associated)
        ciphertext = encryptor.update(plaintext) + encryptor.finalize()
        return ciphertext + encryptor.tag[:TAG_LENGTH]

    @override
    def open(self, key: bytes, nonce: bytes, associated: bytes, protected: bytes) -> bytes:
        """Return the plaintext. Raises InvalidTagError, and then reveals nothing."""
        mode = modes.GCM(nonce, protected[-TAG_LENGTH:], min_tag_length=TAG_LENGTH)
        decryptor = Cipher(AES(key), mode).decryptor()
        decryptor.authenticate_additional_data(associated)
        plaintext = decryptor.update(protected[:-TAG_LENGTH])
        try:
            return plaintext + decryptor.finalize()
        except InvalidTag:
            raise InvalidTagError from None

    @override
    def unverified(self, key: bytes, nonce: bytes, protected: bytes) -> bytes:
        """Return what the ciphertext would say if its tag fitted: for a diagnosis, never a use."""
        decryptor = Cipher(AES(key), modes.CTR(nonce + _FIRST_COUNTER_BLOCK)).decryptor()
        return decryptor.update(protected[:-TAG_LENGTH]) + decryptor.finalize()
