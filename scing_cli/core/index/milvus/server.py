"""Calls to Milvus, whose failures become messages."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import time
from typing import Any

from scing_cli.core.errors import IndexFileError, one_line
from scing_cli.core.index.milvus.address import TOKEN, Address
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter

SECONDS = 30.0  # after which a call counts as failed
CONNECT = 10.0
LONGEST = 300  # characters of the server's own words
PERMISSION = ("permission deny", "privilege", "unauthenticated", "auth check failure")
RELEASED, PAUSE = 101, 0.5  # code of a collection that is not loaded, or not yet by a server that starts; seconds
DROPPED = 100  # code of a collection that is not there
UNREACHED = (2, 14)  # codes of the client, and of gRPC, for a server that does not answer
STRONG = "Strong"  # readers see all that was written before they ask
RELEASED_REMEDY = "Whoever runs the server loads the collection; scing embed --append does it too."


class ServerError(IndexFileError):
    """Milvus did not answer, refused a call, or has not loaded the collection."""


class Server:
    """A connection to the Milvus of an address, made at its first use.

    Args:
        address: The address.
        reporter: Receives progress.
    """

    def __init__(self, address: Address, reporter: Reporter = LIBRARY_REPORTER) -> None:
        self.address, self.reporter = address, reporter

    def __call__(self, call: str, **given: Any) -> Any:
        """Call a method of the client, with the collection's name.

        Raises:
            IndexFileError: If Milvus cannot be reached, or refuses.
        """
        return self.ask(call, collection_name=self.address.collection, **given)

    def ask(self, call: str, **given: Any) -> Any:
        """Call a method of the client.

        Raises:
            IndexFileError: If Milvus cannot be reached, or refuses.
        """
        until = time.monotonic() + SECONDS
        while True:
            try:
                return getattr(self._client, call)(timeout=SECONDS, **given)
            except IndexFileError:
                raise
            except Exception as error:  # the client raises its own errors, those of gRPC, and for a file any other
                if getattr(error, "code", None) != RELEASED or time.monotonic() > until:
                    raise self._failure(error) from error
            time.sleep(PAUSE)

    def exists(self) -> bool:
        """Return whether the collection exists; a file that is not there is not made by asking."""
        if self.address.file is not None and not self.address.file.exists():
            return False
        return bool(self("has_collection"))

    @functools.cached_property
    def _client(self) -> Any:
        pymilvus = _module("pymilvus")
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints a traceback of each refused call
        if self.address.file is not None:
            _module("milvus_lite", "milvus-lite")
        given = {"db_name": self.address.database} if self.address.database else {}
        try:
            token = os.environ.get(TOKEN, "")
            return pymilvus.MilvusClient(uri=self.address.uri, token=token, timeout=CONNECT, **given)
        except Exception as error:  # as above
            raise self._failure(error, connecting=True) from error

    def _failure(self, error: Exception, *, connecting: bool = False) -> ServerError:
        """Return the message of an error. What it means for a gallery that is being written, `Writer` adds."""
        text = one_line(Exception(getattr(error, "message", None) or error))
        if token := os.environ.get(TOKEN):
            for secret in filter(None, (token, token.partition(":")[2])):
                text = text.replace(secret, "…")
        shown = text[:LONGEST] + ("…" if len(text) > LONGEST else "")
        code = getattr(error, "code", None)
        if code == DROPPED:
            remedy = "Another program has dropped the collection."
        elif self.address.file is not None:
            remedy = "Is another process using the file? It may be used by one at a time." if connecting else ""
        elif code in UNREACHED or "deadline exceeded" in text.lower():
            remedy = (
                f"Does the server run at {self.address.uri}? It must answer within {SECONDS:.0f} seconds. "
                f"If it asks for a user, does {TOKEN} name one?"
            )
        elif any(word in text.lower() for word in PERMISSION):
            remedy = f"Set the token of a user who may use this collection: {TOKEN}=user:password."
        elif code == RELEASED:
            remedy = RELEASED_REMEDY
        else:
            remedy = "The log of the server may say more."
        return ServerError(f"{self.address.text} cannot be used: {shown}", remedy)


def _module(name: str, package: str | None = None) -> Any:
    if importlib.util.find_spec(name) is None:
        raise IndexFileError(
            f"Addresses that begin with milvus:// need {package or name}, which is not installed.",
            f"pip install '.[milvus]'{f' {package}' if package else ''}",
        )
    return importlib.import_module(name)
