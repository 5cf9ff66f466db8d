# SPDX-License-Identifier: MIT
"""What both ends of TLS need: imported where it is used, since `ssl` takes time to import."""

from __future__ import annotations

import os
import select
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envring.errors import AddressError

if TYPE_CHECKING:
    from envring.transport.addresses import Address


@dataclass(frozen=True)
class Certificates:
    """Files of the end that listens; see `server_context`."""

    cert: Any
    certkey: Any = None
    client_ca: Any = None

    def read(self) -> tuple[bytes, bytes, bytes | None]:
        """The certificate, its key, and that of the authority of the other ends.

        Raises:
            AddressError: a file cannot be read.
        """
        authority = None if self.client_ca is None else _read(self.client_ca)
        return _read(self.cert), _read(self.certkey or self.cert), authority


def _read(path: Any) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise AddressError(f"The certificates of this host cannot be read: {error}.") from None


def event_for(error: Exception) -> int:
    """What to poll a socket for before TLS can go on after an error; 0 if it cannot."""
    if isinstance(error, ssl.SSLWantReadError):
        return select.POLLIN
    return select.POLLOUT if isinstance(error, ssl.SSLWantWriteError) else 0


def refusal_in(error: Exception) -> ssl.SSLError | None:
    """The error, if TLS said by it that it does not go on with this peer."""
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return error
    return None


def client_context(address: Address) -> ssl.SSLContext:
    """What the caller's end of TLS trusts and shows.

    Raises:
        AddressError: a file cannot be read.
    """
    options = address.options
    try:
        ca = _expand(options.get("ca"))
        context = ssl.create_default_context(cafile=ca, cadata=address.authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if "cert" in options:
            context.load_cert_chain(
                os.path.expanduser(options["cert"]), _expand(options.get("certkey"))
            )
    except (OSError, ssl.SSLError) as error:
        raise AddressError(f"The certificates for {address} cannot be read: {error}.") from None
    return context


def server_context(cert: Any, certkey: Any = None, client_ca: Any = None) -> ssl.SSLContext:
    """TLS for the end that listens.

    Args:
        cert: path of its certificate.
        certkey: path of the certificate's key, if it is not in the same file.
        client_ca: path of the certificate that must have signed those of the other ends, or None.

    Raises:
        AddressError: a file cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(cert, certkey)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise AddressError(f"The certificates of this host cannot be read: {error}.") from None
    return context


def not_trusted(address: Address, error: ssl.SSLError) -> AddressError:
    """The error of a host that was reached, and a certificate did not do, or it has no TLS."""
    reason = getattr(error, "verify_message", "") or error.reason or str(error)
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason:
        return AddressError(
            f"{address} was reached, but does not speak TLS ({reason}). Is it tcp://?"
        )
    reason = reason.rstrip(".")
    if "ALERT" not in reason:
        return AddressError(
            f"{address} was reached, but is not trusted: {reason}. Give ca=FILE, the certificate "
            "of the authority that signed the host's, and name=NAME if that is for another name."
        )
    shown = "was refused" if "cert" in address.options else "is missing"
    return AddressError(
        f"{address} was reached, but refused us: {reason}. A certificate of ours {shown}: give "
        "cert=FILE&certkey=FILE, signed by the authority that the host trusts."
    )


def _expand(path: str | None) -> str | None:
    return None if path is None else os.path.expanduser(path)
