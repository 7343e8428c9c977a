"""Payment notifications as the payment platform signs them, with a test key that belongs to the seed.

The scheme is ``wechatpay-hmac-sha256``, meant for test traffic: the signed text is that of the real one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, Final

import msgspec
import polars as pl

from detectors.event import MICROSECONDS

SCHEME: Final = "wechatpay-hmac-sha256"
SERIAL: Final = "SIMULATED01"


def payment_key(seed: int) -> bytes:
    """The key that signs this seed's notifications."""
    return hashlib.sha256(f"miniwatch simulated payments {seed}".encode()).digest()


def keys(seed: int) -> bytes:
    """The seed's keys in the form that ``miniwatch keys import`` takes."""
    return msgspec.json.encode({"payment": {SERIAL: payment_key(seed).hex()}})


def _body(row: dict[str, Any]) -> str:
    body = {
        "id": row["transaction"],
        "event_type": "TRANSACTION.SUCCESS",
        "out_trade_no": row["order"],
        "amount": {"total": row["amount"], "currency": "CNY"},
        "payer": {"openid": row["payer"]},
        "mchid": row["merchant"],
        "trade_state": "SUCCESS",
    }
    return msgspec.json.encode(body).decode()


def signed(notices: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """Bodies and signature fields for notices (``time``, ``order``, ``transaction``, ``amount``, ``payer``, ``merchant``)."""
    rows = []
    for row in notices.iter_rows(named=True):
        body, stamp = _body(row), row["time"] // MICROSECONDS
        nonce = hashlib.sha256(f"{row['transaction']}{row['time']}".encode()).hexdigest()[:24]
        value = hmac.new(key, f"{stamp}\n{nonce}\n{body}\n".encode(), hashlib.sha256).hexdigest()
        rows.append((body, SCHEME, value, stamp, nonce, SERIAL))
    schema = {
        "http.request.body.content": pl.String,
        "signature.scheme": pl.String,
        "signature.value": pl.String,
        "signature.timestamp": pl.Int64,
        "signature.nonce": pl.String,
        "signature.serial": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def token(text: str) -> str:
    """Twenty-four characters of base64, the look of a session_key."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode()
