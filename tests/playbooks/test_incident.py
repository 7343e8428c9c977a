from playbooks.incident import IncidentConfig, belongs, join, open_incident
from playbooks.risk import MICROSECONDS
from playbooks.testing import NOON, finding

CONFIG = IncidentConfig()
DAY_S = 86_400


def test_an_incident_is_named_by_its_entity_and_first_finding():
    first = finding()
    assert open_incident(first, 25, CONFIG).id == open_incident(first, 90, CONFIG).id
    assert open_incident(first, 25, CONFIG).id != open_incident(finding(after_s=60), 25, CONFIG).id


def test_a_finding_within_the_gap_belongs_and_a_later_one_does_not():
    incident = open_incident(finding(), 25, CONFIG)
    assert belongs(incident, finding(after_s=DAY_S), CONFIG.gap_s)
    assert not belongs(incident, finding(after_s=DAY_S + 1), CONFIG.gap_s)


def test_a_worse_finding_brings_the_deadline_nearer_and_gives_the_title():
    mild = open_incident(finding(title="Odd"), 25, CONFIG)
    worse = join(mild, finding(title="Theft", severity="critical", after_s=60), 85, CONFIG)
    assert worse.due == NOON + (60 + DAY_S) * MICROSECONDS < mild.due
    assert worse.title == "App wx01: Theft"


def test_a_milder_finding_takes_nothing_back():
    bad = open_incident(finding(severity="critical"), 80, CONFIG)
    more = join(bad, finding(severity="low", after_s=60, rule="other", kind="statistical"), 81, CONFIG)
    assert (more.severity, more.due, more.title) == (bad.severity, bad.due, bad.title)
    assert (more.findings, more.rules, more.kinds) == (2, ("rule-1", "other"), ("rule", "statistical"))
