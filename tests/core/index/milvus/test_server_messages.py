"""What the errors of Milvus's client become, for a server and for a file."""

from __future__ import annotations

import pytest

from scing_cli.core.index.milvus.address import Address
from scing_cli.core.index.milvus.server import Server

SERVER = "milvus://host:1234/people"
FILE = "milvus://./lists/a.db"
ASKS = "Does the server run at http://host:1234? It must answer within 30 seconds."
IN_USE = "Is another process using the file?"


class ClientError(Exception):
    """Has a code, as pymilvus's errors have."""

    def __init__(self, code: object, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@pytest.mark.parametrize(
    ("address", "code", "text", "connecting", "told"),
    [
        (SERVER, 2, "Fail connecting to server", True, ASKS),
        (SERVER, 14, "unavailable", False, ASKS),
        (SERVER, lambda: "a method, as gRPC has", "Deadline Exceeded", False, ASKS),
        (SERVER, 65535, "permission deny", False, "Set the token of a user who may use this collection"),
        (SERVER, 100, "collection not found", False, "Another program has dropped the collection."),
        (SERVER, 101, "collection not loaded", False, "Whoever runs the server loads the collection"),
        (SERVER, 9, "quota exceeded", False, "The log of the server may say more."),
        (FILE, 1, "Open local milvus failed", True, IN_USE),
        (FILE, 2, "unavailable", False, ""),
        (FILE, 5, "no space left", False, ""),
        (FILE, 100, "collection not found", False, "Another program has dropped the collection."),
    ],
)
def test_an_error_gets_the_remedy_that_fits_and_no_claim_about_the_gallery(address, code, text, connecting, told):
    error = Server(Address.parse(address))._failure(ClientError(code, text), connecting=connecting)
    assert error.what == f"{address} cannot be used: {text}"
    assert error.remedy.startswith(told)
    assert (error.remedy == "") == (told == "")
    assert "readers" not in error.remedy.lower()
    assert (IN_USE in error.remedy) == (told == IN_USE)
