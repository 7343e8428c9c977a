"""All kinds of misbehaviour that are staged, each with the number of the behaviour it shows (`domain.md` 3.2)."""

from __future__ import annotations

import misdeeds_apps as apps
import misdeeds_people as people
import misdeeds_slow as slow

KINDS = {
    "collusion": (4, apps.collusion),
    "content-switch": (6, apps.content_switch),
    "ramp": (1, slow.ramp),
    "slow-leak": (1, slow.slow_leak),
    "api-burst": (21, apps.api_burst),
    "new-api": (1, apps.new_api),
    "covert-location": (2, apps.covert_location),
    "exfiltration": (3, apps.exfiltration),
    "permission-probing": (1, apps.permission_probing),
    "error-abuse": (26, apps.error_abuse),
    "resource-abuse": (21, apps.resource_abuse),
    "silence": (18, slow.silence),
    "induced-sharing": (7, people.induced_sharing),
    "login-storm": (8, people.login_storm),
    "credential-stuffing": (8, people.credential_stuffing),
    "idor": (10, people.idor),
    "carding": (12, people.carding),
    "bots": (22, people.bots),
}
