"""One open association: what was negotiated, who is at the other end, and its proof of identity.

Must not know APDUs' forms, nor other associations.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from meter_node.channel.security import Aead, Keys
from meter_node.cosem import envelopes
from meter_node.cosem.access import AccessError, Client, DataAccessResult
from meter_node.cosem.credentials import Credential, Numbers
from meter_node.cosem.general_blocks import GeneralBlocks
from meter_node.cosem.services import Services
from meter_node.cosem.wire import WireError

SHORTEST_CHALLENGE, LONGEST_CHALLENGE = 8, 64


@dataclass(slots=True)
class Proof:
    """What is at stake until the client has proved who it is (HLS): both challenges."""

    to_server: bytes
    to_client: bytes


@dataclass(slots=True)
class OpenAssociation:
    """An association, from its AARQ on; `proof` is there until the client has proved itself."""

    client: Client
    server_sap: int
    mechanism: int
    ciphered: bool
    conformance: int
    max_send: int
    max_receive: int
    services: Services
    title: bytes = b""
    """The client's system title."""
    credential: Credential | None = None
    proof: Proof | None = None
    prove_by: Callable[[OpenAssociation, bytes], bytes] | None = None
    refusal: str = ""
    is_single: bool = False
    """Whether it ends with the one answer that it is for."""
    blocks: GeneralBlocks = field(default_factory=GeneralBlocks)

    @property
    def name(self) -> str:
        """Who it is, for the logs."""
        return self.client.name.lower() if self.credential is None else self.credential.name

    @property
    def is_proven(self) -> bool:
        """Whether the client has proved who he is."""
        known = self.credential is not None and not self.credential.is_revoked
        return known and self.proof is None

    @property
    def keys(self) -> Keys | None:
        """The keys in force; None where nothing is ciphered."""
        return self.credential.keys if self.credential is not None and self.ciphered else None

    def prove(self, proof: bytes) -> bytes:
        """Take f(challenge) of the client and return the server's. Raises AccessError."""
        if self.proof is None or self.prove_by is None:
            raise AccessError(DataAccessResult.OTHER_REASON, "no proof was asked for")
        return self.prove_by(self, proof)


def prove(
    aead: Aead, numbers: Numbers, own_title: bytes, association: OpenAssociation, proof: bytes
) -> bytes:
    """Check f(challenge) of a client; return the server's and let the association be open.

    Raises InvalidTagError, WireError: then it is not open, and must be dropped.
    """
    waiting, credential = association.proof, association.credential
    if waiting is None or credential is None or credential.keys is None:
        raise WireError("no proof was asked for")
    keys = credential.keys
    number = envelopes.check_gmac(aead, keys, association.title, proof, waiting.to_client)
    # The challenge is fresh, so that an old proof never fits it: the number need not rise.
    numbers.received(association.title, keys.encryption, number, durable=True)
    answer = envelopes.gmac(aead, keys, own_title, numbers.take(keys.encryption), waiting.to_server)
    association.proof = None
    return answer


def password_fits(credentials: list[Credential], given: bytes) -> Credential | None:
    """Return whose password this is. All are compared, in the same time whichever fits."""
    found = None
    for credential in credentials:
        if credential.password and hmac.compare_digest(credential.password, given):
            found = credential
    return found
