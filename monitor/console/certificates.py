"""TLS of the HTTP server: its certificate, who has to show one, and a certificate that was renewed on disk."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import msgspec

from monitor.telemetry import Telemetry, upkeep

LOOK_S: Final = 10.0
"""How soon a renewed certificate is seen."""


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files: the certificate with its chain, its key, and the authorities whose clients alone may come ("": anybody)."""

    certificate: str
    key: str
    client_ca: str = ""


class Certificates:
    """The context of the server. `look` takes up what has changed on disk, for connections from then on.

    What cannot be used is told and changes nothing. An authority that is added to the file is taken up; one that is taken
    out of it goes on being believed until a restart.
    """

    def __init__(self, files: TlsFiles, telemetry: Telemetry) -> None:
        self._files = files
        self._telemetry = telemetry
        self._seen = self._stamps()
        self.context: Final = _context(files)

    def look(self) -> None:
        """Take up renewed files."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            _context(self._files)  # a certificate that does not belong to its key is seen here, not by clients
            _load(self.context, self._files)
        except OSError as error:  # `ssl.SSLError` is one
            self._telemetry.emit(upkeep.CertificateRefused(path=self._files.certificate, error=str(error)))
        else:
            self._telemetry.emit(upkeep.CertificateRenewed(path=self._files.certificate))
        self._seen = stamps

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in (self._files.certificate, self._files.key, self._files.client_ca) if path]


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _context(files: TlsFiles) -> ssl.SSLContext:
    """Raises `OSError` for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, files)
    if files.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.load_cert_chain(files.certificate, files.key, password=lambda: b"")  # never asks at a terminal
    if files.client_ca:
        context.load_verify_locations(files.client_ca)
