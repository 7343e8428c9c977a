"""Keys of the HTTP server: where it listens, behind what certificate, and what it takes."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from monitor.config.values import GIB, KIB, MIB, FileIfAny, Keys, RefusedValueError


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_listen(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[v6]:port``; raises `ValueError` when it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(text)
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare and host == bare):
        raise ValueError(text)
    return bare, int(port)


class HttpKeys(Keys):
    listen_anywhere: bool = False
    tls_certificate: FileIfAny = ""
    tls_key: FileIfAny = ""
    tls_client_ca: FileIfAny = ""
    listen: str = "127.0.0.1:9464"
    body_bytes_max: Annotated[int, Field(ge=KIB, le=64 * MIB)] = 8 * MIB
    unpacked_bytes_max: Annotated[int, Field(ge=KIB, le=64 * MIB)] = 32 * MIB
    in_flight_max: Annotated[int, Field(ge=1, le=128)] = 32
    spool_bytes_max: Annotated[int, Field(ge=256 * MIB, le=16_384 * GIB)] = 4 * GIB
    requests_per_s_max: Annotated[float, Field(gt=0, le=100_000)] = 500.0
    failures_max: Annotated[int, Field(ge=1, le=1000)] = 10
    lockout_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    alive_s_max: Annotated[float, Field(ge=1, le=3600)] = 30.0
    ready_lag_bytes_max: Annotated[int, Field(ge=0)] = GIB

    @property
    def is_private(self) -> bool:
        """Whether other machines reach us, and nobody said that they may see how we are without a token."""
        return bool(self.listen) and not is_loopback(split_listen(self.listen)[0]) and not self.listen_anywhere

    @field_validator("listen")
    @classmethod
    def _safe(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        try:
            host, _port = split_listen(value)
        except ValueError:
            raise RefusedValueError("host:port", 'write, say, "127.0.0.1:9464", or "" for no server') from None
        is_plain = not info.data.get("tls_certificate", "?")
        if not is_loopback(host) and is_plain and info.data.get("listen_anywhere") is False:
            raise RefusedValueError(
                "an address of this machine alone (127.0.0.1, [::1], localhost), or TLS",
                "set http.tls_certificate and http.tls_key; or listen on 127.0.0.1; or, where nobody else can listen in, set "
                "http.listen_anywhere = true",
            )
        return value

    @field_validator("tls_key")
    @classmethod
    def _belongs(cls, value: str, info: ValidationInfo) -> str:
        certificate = info.data.get("tls_certificate")
        if certificate is not None and bool(certificate) != bool(value):
            raise RefusedValueError("tls_certificate and tls_key together", "name both files, or neither")
        if certificate and value:
            _load_pair(certificate, value)
        return value

    @field_validator("tls_client_ca")
    @classmethod
    def _needs_tls(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("tls_certificate") == "":
            raise RefusedValueError("a certificate of our own beside it", "set http.tls_certificate and http.tls_key")
        return value


def _load_pair(certificate: str, key: str) -> None:
    import ssl  # noqa: PLC0415 - most commands have no use for it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError):
        raise RefusedValueError(
            "a certificate and the key that belongs to it, in PEM, the key without a password", "correct one of the two"
        ) from None
