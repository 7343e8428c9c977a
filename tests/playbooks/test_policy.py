import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.finding import Entity, Scope
from playbooks.decision import Tier
from playbooks.policy import BudgetConfig, Exceptions, Exemption, Exemptions, RuleException


def exempt(scope, value, entity, *, expires=100, at=50, owner=None):
    exemptions = Exemptions([Exemption(scope=Scope(scope), value=value, expires=expires)])
    return exemptions.until(entity, owner, at)


@pytest.mark.parametrize(
    ("scope", "value", "asked", "about"),
    [
        ("AppId", "wx01", "AppId", "wx01"),
        ("Ip", "203.0.113.7", "Ip", "203.0.113.7"),
        ("Range", "203.0.113.0/24", "Ip", "203.0.113.7"),
        ("Range", "203.0.113.9/24", "Range", "203.0.113.128/25"),
        ("Ip", "203.0.113.7", "Range", "203.0.113.0/24"),
        ("Range", "2001:db8::/32", "Ip", "2001:DB8:0::7"),
        ("Ip", "2001:db8::7", "Ip", "2001:db8:0::7"),
    ],
)
def test_an_exemption_protects_what_it_names_or_contains(scope, value, asked, about):
    assert exempt(scope, value, Entity(Scope(asked), about)) == 100


@pytest.mark.parametrize(
    ("scope", "value", "asked", "about"),
    [
        ("AppId", "wx01", "AppId", "wx02"),
        ("AppId", "wx01", "OpenId", "wx01"),
        ("Range", "203.0.113.0/24", "Ip", "203.0.114.7"),
        ("Range", "0.0.0.0/0", "Ip", "::1"),
        ("Range", "nonsense", "Ip", "203.0.113.7"),
        ("Range", "203.0.113.0/24", "Ip", "nonsense"),
    ],
)
def test_an_exemption_protects_nothing_else(scope, value, asked, about):
    assert exempt(scope, value, Entity(Scope(asked), about)) is None


def test_an_exemption_ends():
    assert exempt("AppId", "wx01", Entity(Scope.APP, "wx01"), expires=50, at=50) is None


def test_the_apps_of_an_exempt_developer_are_exempt():
    assert exempt("DeveloperId", "dev01", Entity(Scope.APP, "wx01"), owner="dev01") == 100


def test_the_longer_of_two_exemptions_counts():
    both = [Exemption(scope=Scope.RANGE, value="10.0.0.0/8", expires=expires) for expires in (90, 70)]
    assert Exemptions(both).until(Entity(Scope.ADDRESS, "10.1.2.3"), None, 50) == 90


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_every_address_is_protected_by_every_range_around_it(address, length):
    assert exempt("Range", f"{address}/{length}", Entity(Scope.ADDRESS, str(address))) == 100


def test_an_exception_is_of_one_rule():
    exceptions = Exceptions([RuleException(rule="r", scope=Scope.APP, value="wx01", expires=100)])
    assert exceptions.until("r", Entity(Scope.APP, "wx01"), None, 50) == 100
    assert exceptions.until("s", Entity(Scope.APP, "wx01"), None, 50) is None


def test_every_tier_has_a_budget():
    assert [BudgetConfig().per_hour(tier) for tier in Tier] == [1_000, 1_000, 300, 20, 5]
