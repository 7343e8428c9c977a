"""An archived event is judged again by all that the archive has of it, also what its redacted line cannot give back."""

import json

EVENT = {"event.dataset": "miniprogram.network", "event.action": "request", "miniprogram.app_id": "wx1"}


def _request(second, device):
    """A login code inside of another text: the door finds it and leaves its hash there."""
    told = {"@timestamp": f"2026-03-02T08:00:0{second}Z", "event.id": f"call-{second}", "device.id": device}
    body = json.dumps({"js_code": "081Kq7Lm3Np5Rt2Vw8xyz"})
    return json.dumps({**EVENT, **told, "http.request.body.content": body})


def test_a_login_code_that_the_door_found_is_still_there_when_a_rule_explains_itself(fresh):
    fresh.events.write_text("\n".join(_request(second, f"device-{second % 2}") for second in range(3)) + "\n")
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}")
    (finding,) = fresh.rows("findings", "list")
    told = fresh.here("rules", "explain", "2f316234", "call-1").stdout
    assert "matches:" in told.splitlines()[0]
    assert "yes  auth.code is present" in told
    assert finding["id"][:12] in fresh.here("explain", "call-1").stdout
