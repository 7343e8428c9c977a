"""Our own gateway's refusals are told from all else by two fields."""

import polars as pl

from monitor.stream.own_refusals import without_refusals


def left(*rows):
    schema = {"event.dataset": pl.String, "event.action": pl.String}
    return without_refusals(pl.DataFrame(rows, schema=schema, orient="row")).rows()


def test_only_refusals_of_our_gateway_are_left_out():
    others = [
        ("miniprogram.gateway", "access"),
        ("miniprogram.log", "refuse"),
        (None, "refuse"),
        ("miniprogram.gateway", None),
    ]
    assert left(("miniprogram.gateway", "refuse"), *others) == others


def test_a_batch_without_any_is_not_copied():
    frame = pl.DataFrame({"event.dataset": ["miniprogram.gateway"], "event.action": ["access"]})
    assert without_refusals(frame) is frame
