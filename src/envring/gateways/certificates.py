# SPDX-License-Identifier: MIT
"""Certificates for hosts and callers of one local network, made with the package `cryptography`."""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envring.errors import AddressError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

DAYS = 825  # most that common clients accept of a host
_CA_DAYS = 3650
_CLOCKS = datetime.timedelta(hours=1)  # by which clocks of a network may differ
# addresses that no packet is sent to: which of ours would be the sender?
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


class Authority:
    """Signs certificates; its own one is what the peers are told to trust.

    Args:
        certificate: its own.
        key: its key.
    """

    def __init__(self, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> None:
        """Takes both over."""
        self._certificate = certificate
        self._key = key

    @classmethod
    def new(cls, folder: Path, days: float = _CA_DAYS) -> Authority:
        """Makes an authority: ca.pem, and ca.key, which stays with whoever signs.

        Raises:
            AddressError: there is one of the files already, or it cannot be written.
        """
        from cryptography import x509

        key = _new_key()
        name = _name(f"envring CA of {socket.gethostname()}"[:64])
        uses = dict.fromkeys(_USES, False) | {"key_cert_sign": True, "crl_sign": True}
        builder = _builder(name, name, key, days)
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**uses), critical=True)
        certificate = _sign(builder, key, key)
        _write(folder, "ca", certificate, key)
        return cls(certificate, key)

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """Reads what `new` wrote.

        Raises:
            AddressError: the files cannot be read, or do not belong together.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise AddressError(f"The authority in {folder} cannot be read: {error}.") from None
        if not isinstance(key, EllipticCurvePrivateKey) or (
            key.public_key() != certificate.public_key()
        ):
            raise AddressError(f"{folder}/ca.key is not the key of {folder}/ca.pem.")
        return cls(certificate, key)

    def issue(
        self,
        folder: Path,
        stem: str,
        hosts: Sequence[str] = (),
        *,
        days: float = DAYS,
        begin: datetime.datetime | None = None,
    ) -> None:
        """Makes a certificate and its key: STEM.pem and STEM.key.

        Args:
            folder: where to write them.
            stem: of the files' names; a caller's certificate has it as its name.
            hosts: names and addresses of a host; none: for a caller.
            days: how long it is valid.
            begin: from when on, None for now.

        Raises:
            AddressError: there is one of the files already, or it cannot be written.
        """
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = _new_key()
        use = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        subject = _name((hosts[0] if hosts else stem)[:64])
        uses = dict.fromkeys(_USES, False) | {"digital_signature": True}
        builder = _builder(subject, self._certificate.subject, key, days, begin)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        builder = builder.add_extension(x509.KeyUsage(**uses), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        _write(folder, stem, _sign(builder, key, self._key), key)


_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def make(
    folder: str | os.PathLike[str],
    hosts: Sequence[str] = (),
    *,
    server: str | None = "server",
    clients: Sequence[str] = ("client",),
    days: int = DAYS,
) -> list[Path]:
    """Makes an authority, and certificates for a host and its callers that it signs.

    Args:
        folder: where to write them. An authority that is there already is used again.
        hosts: names and addresses by which callers reach the host; none: those of this machine.
        server: stem of the host's file names; None for no such certificate.
        clients: the same for callers.
        days: how long they are valid.

    Returns:
        The files that it wrote.

    Raises:
        AddressError: `cryptography` is missing, or a file is there already: none is overwritten.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise AddressError(
            "Certificates are made with the package cryptography: pip install 'envring[remote]'"
        )
    where = Path(folder).expanduser()
    stems = [*([] if server is None else [server]), *clients]
    for stem in stems:
        if not stem or stem == "ca" or stem in (".", "..") or "/" in stem:
            raise AddressError(f"{stem!r} cannot be the name of a certificate's file.")
    known = any(map(os.path.lexists, _paths(where, "ca")))
    new = [path for stem in stems for path in _paths(where, stem)]
    _refuse_present(new)
    if len(set(new)) < len(new):
        raise AddressError("Each certificate needs a name of its own.")
    try:
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AddressError(f"{where} cannot be made: {error.strerror}.") from None
    authority = Authority.load(where) if known else Authority.new(where)
    if server is not None:
        authority.issue(where, server, hosts or own_names(), days=days)
    for client in clients:
        authority.issue(where, client, days=days)
    return new if known else [*_paths(where, "ca"), *new]


def own_names() -> list[str]:
    """Names and addresses by which this machine can be reached, as far as it knows them."""
    found = [socket.gethostname(), socket.getfqdn()]
    for family, address in _ELSEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, 9))
            found.append(sock.getsockname()[0])
    found += ["localhost", "127.0.0.1", "::1"]
    return list(dict.fromkeys(found))


def _paths(folder: Path, stem: str) -> tuple[Path, Path]:
    return folder / f"{stem}.pem", folder / f"{stem}.key"


def _refuse_present(paths: Sequence[Path]) -> None:
    for path in paths:
        if os.path.lexists(path):
            raise AddressError(f"{path} is there already and is not overwritten.")


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode("ascii"))
    except ValueError:
        raise AddressError(f"{host!r} is neither a host's name nor an address.") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    days: float,
    begin: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    from cryptography import x509

    begin = begin or datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _CLOCKS)
        .not_valid_after(begin + datetime.timedelta(days=days))
    )


def _sign(
    builder: x509.CertificateBuilder,
    key: EllipticCurvePrivateKey,
    issuer_key: EllipticCurvePrivateKey,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuers = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(own, critical=False).add_extension(issuers, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _write(
    folder: Path, stem: str, certificate: x509.Certificate, key: EllipticCurvePrivateKey
) -> None:
    from cryptography.hazmat.primitives import serialization

    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public_path, key_path = _paths(folder, stem)
    _refuse_present((public_path, key_path))
    _create(key_path, secret, 0o600)
    _create(public_path, certificate.public_bytes(pem), 0o644)


def _create(path: Path, data: bytes, mode: int) -> None:
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
    except OSError as error:
        raise AddressError(f"{path} cannot be written: {error.strerror}.") from None
