"""TLS 1.3 around the connections of processes, both ends showing a certificate of the given authority.

There is no socket in this module: bytes go in, bytes come out, as in ``frames``. So whoever owns a socket goes on writing to it
when it wants to: what may leave before a sync of the disk leaves at once, encrypted or not.

The secret of the run is still proved inside: a certificate admits to the conversation, the secret to the run.
"""
from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from bench.driver.frames import FrameError
from bench.driver.private import read_private

READ_BYTES = 1 << 16
NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")


class TlsError(FrameError):
    """The other end shows no certificate that counts, or speaks no TLS."""


class TlsFiles(msgspec.Struct, frozen=True):
    """The authority that both ends trust, and the certificate and key of this end: paths of PEM files."""

    ca: str
    certificate: str
    key: str


class Credentials:
    """What this end shows and whom it trusts; ValueError where a file is of no use, or others would refuse the certificate."""

    def __init__(self, files: TlsFiles) -> None:
        for field, path in (("ca", files.ca), ("certificate", files.certificate)):
            try:
                Path(path).read_bytes()
            except OSError as error:
                raise ValueError(f"tls.{field}: {path} cannot be read: {error.strerror}; name a readable PEM file") from None
        read_private(Path(files.key))
        self.accepting = _context(ssl.PROTOCOL_TLS_SERVER, files)
        self.accepting.num_tickets = 0  # no session is resumed
        self.connecting = _context(ssl.PROTOCOL_TLS_CLIENT, files)
        _require_acceptable(files)

    def accept(self) -> Session:
        """The end of a connection that has come."""
        return Session(self.accepting)

    def connect(self, host: str) -> Session:
        """The end of a connection to ``host``, which the certificate of the other end must name."""
        return Session(self.connecting, host)


class Session:
    """One end of one connection. What it has to send by itself gathers in ``outgoing`` whenever something arrived."""

    def __init__(self, context: ssl.SSLContext, host: str | None = None) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=host is None, server_hostname=host)
        self.open = False
        self.early = bytearray()

    def seal(self, data: bytes | bytearray | memoryview) -> bytes:
        """What to send so that ``data`` arrives; before the handshake is over that is only the handshake."""
        if self.open:
            self._write(memoryview(data))
        else:
            self.early += data
            self._shake_hands()
        return self.outgoing.read()

    def unseal(self, data: bytes | memoryview) -> bytes:
        """What the other end said with these bytes; TlsError where it may not."""
        self.incoming.write(data)
        found = []
        try:
            if self._shake_hands():
                while piece := self.tls.read(READ_BYTES):
                    found.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TlsError(reason_of(error)) from None
        return found[0] if len(found) == 1 else b"".join(found)

    def _shake_hands(self) -> bool:
        if not self.open:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                return False
            self.open = True
            self._write(memoryview(self.early))
            self.early.clear()
        return True

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[self.tls.write(data) :]


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise ValueError(f"{files.ca} is no certificate of an authority: {_plain(error)}") from None
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: _refuse_password(files.key))
    except ssl.SSLError as error:
        raise ValueError(f"{files.certificate} and {files.key} are no certificate and its key: {_plain(error)}") from None
    return context


def _refuse_password(key: str) -> str:
    raise ValueError(f"{key} is locked by a password; give a key without one")


def _require_acceptable(files: TlsFiles) -> None:
    """Shake hands with oneself: so a certificate that everybody would refuse is noticed before anybody runs."""
    accepting, connecting = _context(ssl.PROTOCOL_TLS_SERVER, files), _context(ssl.PROTOCOL_TLS_CLIENT, files)
    connecting.check_hostname = False
    server, client = Session(accepting), Session(connecting, "myself")
    try:
        data = client.seal(b"")
        while not (server.open and client.open):
            server.unseal(data)
            client.unseal(server.outgoing.read())
            data = client.outgoing.read()
    except TlsError as error:
        raise ValueError(f"{files.certificate} would be refused: {error}; have {files.ca} issue another") from None


def _plain(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def reason_of(error: ssl.SSLError) -> str:
    """Why, the kind of reason before the colon."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"wrong certificate: {error.verify_message}"
    if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return "wrong certificate: none is shown"
    if "ALERT" in (error.reason or ""):
        return f"refused by the other end: {_plain(error)}"
    return f"{'not TLS' if error.reason in NOT_TLS else 'TLS failed'}: {_plain(error)}"
