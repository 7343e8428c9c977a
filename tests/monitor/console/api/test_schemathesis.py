"""The API against its own document: whatever is sent, fitting or not, is answered as described, and never with a fault of ours."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from monitor.console.api import openapi, pages
from monitor.tokens import Role

EXAMPLES = 12
EXAMPLES_SLOW = 300
LEFT_OUT = {
    "positive_data_acceptance",  # that app goes without scope, what a cursor is, whom a ban needs: more than a schema says
    "ignored_auth",  # test_roles asks every page with every kind of token
    "unsupported_method",  # where it brings a body, that is refused first; test_roles has the rest
}


def _document():
    return schemathesis.openapi.from_dict(openapi.document(pages.OPERATIONS))


BRIEF, WHOLE = _document(), _document()
BRIEF.config.phases.coverage.enabled = False


@pytest.fixture(scope="module")
def there(_ran, tmp_path_factory):
    """A record with something in it that may be changed."""
    import shutil  # noqa: PLC0415 - beside what it is for

    from api_site import ApiSite  # noqa: PLC0415 - beside what it is for

    folder = tmp_path_factory.mktemp("schemathesis") / "data"
    shutil.copytree(_ran, folder)
    made = ApiSite(folder, failures_max=1000)
    made.token(Role.ADMIN)
    yield made
    made.close()


def _checked(case, there):
    case.call_and_validate(
        base_url=str(there.client.base_url),
        headers={"Authorization": f"Bearer {there.token(Role.ADMIN)}"},
        checks=[check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT],
        timeout=20,
    )
    assert "page_failed" not in there.log.getvalue()


QUIET = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
)


@BRIEF.parametrize()
@settings(QUIET, max_examples=EXAMPLES)
def test_every_operation_answers_as_described(case, there):
    _checked(case, there)


@pytest.mark.slow
@WHOLE.parametrize()
@settings(QUIET, max_examples=EXAMPLES_SLOW, derandomize=False)
def test_every_operation_answers_as_described_at_length(case, there):
    _checked(case, there)
