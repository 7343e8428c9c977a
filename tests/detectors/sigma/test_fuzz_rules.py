"""Whatever text is given as a rule: it is taken or refused in bounded time, and what is taken can be run, told and kept.

``FUZZ_S=300 pytest -m slow tests/detectors/sigma/test_fuzz_rules.py`` goes on for five minutes.
"""

from __future__ import annotations

import contextlib
import os
import random
import time

import msgspec
import pytest
import yaml
from bending import KEYS, LEAVES, bent_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.sigma import Reading, RuleSet, SigmaDetector, explain, parse_rules, read_pipelines
from detectors.sigma.pipeline import REFUSED, TRANSFORMATIONS
from detectors.testing import batch
from monitor.rules import builtin_folder
from monitor.rules.cache import encoded

CPU_S_MAX = 20
"""One text takes a small part of a second; what takes this long never ends."""

ID = "5d2b1c1e-0000-4000-8000-00000000004{}"
EXTRA = [
    f"""title: all sorts
id: {ID.format(1)}
name: sorts
logsource: {{product: windows, category: process_creation}}
detection:
  sel_a: {{Image|endswith: ['\\a.exe', '\\b.exe'], CommandLine|contains|all: [x, y], n|gte: 5, f|exists: true}}
  sel_b:
    - {{a|re|i: '^a.*b$', b|cidr: 10.0.0.0/8, c|fieldref|startswith: d}}
    - {{d|windash|contains: ' -x', e|base64offset|contains: abc, f|cased: 'A*', '@timestamp|hour': 3, g: null}}
  words: [one, 'tw*o', 3]
  condition: 1 of sel_* and not (words or all of sel*)
level: high
custom: {{miniwatch: {{entity: Host, behaviour: [1], proof: true, response: look}}}}
""",
    f"""action: global
logsource: {{product: windows}}
detection: {{spare: {{x|expand: '%names%'}}}}
---
title: first
id: {ID.format(2)}
detection: {{s: {{a|expand|contains: ['%names%', 'b']}}, condition: s or spare}}
---
action: repeat
title: second
id: {ID.format(3)}
---
title: ours
logsource: {{product: windows}}
filter: {{rules: [{ID.format(2)}], s: {{user: me}}, condition: not s}}
---
title: many
id: {ID.format(4)}
correlation: {{type: value_count, rules: [{ID.format(2)}], group-by: [user], timespan: 5m, condition: {{field: a, gte: 3}}, aliases: {{u: {{{ID.format(2)}: x}}}}}}
""",
]
SEEDS = [*EXTRA, *(path.read_text() for path in sorted(builtin_folder().path.rglob("*.yml")))]
PIPELINE = """name: all sorts
priority: 5
vars: {names: [a, b*]}
transformations:
  - {type: field_name_mapping, mapping: {Image: process.executable, a: [b, c]}, rule_conditions: [{type: logsource, product: windows}]}
  - {type: nest, items: [{type: add_condition, conditions: {x: "1"}, template: true}]}
  - {type: replace_string, regex: a(b), replacement: \\1, field_name_conditions: [{type: include_fields, fields: [a.*], mode: re}]}
  - {type: drop_detection_item, field_name_conditions: [{type: include_fields, fields: [b]}]}
  - {type: hashes_fields, valid_hash_algos: [MD5]}
  - {type: value_placeholders}
"""
EVENTS = batch(
    {"event.dataset": "windows.process_creation", "Image": "c:\\a.exe", "CommandLine": "x y -x", "n": 7, "a": "ab"},
    {"event.dataset": "miniprogram.api", "miniprogram.api": "login", "a": ["1", None], "b": "10.1.1.1", "f": "Abc"},
    {"event.dataset": "miniprogram.gateway", "url.path": "/x?'", "http.response.status_code": 500, "message": "\u0130"},
)


def _is_borne(text: str, other: str, pipeline: str | None) -> None:
    """What must be true of any text."""
    begun = time.process_time()
    pipelines, refused = read_pipelines([("p.yml", pipeline)]) if pipeline is not None else (None, [])
    found = parse_rules([("a.yml", text), ("b.yml", other)], Reading({"names": ["x", "y*"]}, pipelines))
    for problem in (*refused, *found.problems):
        lines = {"a.yml": text, "b.yml": other, "p.yml": pipeline or ""}[problem.path].count("\n") + 2
        assert problem.message.strip(), problem
        assert 0 <= problem.line <= lines, problem
        assert str(problem)
    ids = [rule.id for rule in found.rules]
    assert len(ids) == len(set(ids))
    for rows in SigmaDetector(found.rules).matches(EVENTS).values():
        assert set(rows.tolist()) <= {0, 1, 2}
    for rule in found.rules:
        if rule.condition is not None:
            assert explain(rule, EVENTS, 0)
    with contextlib.suppress(OverflowError):  # a whole number that the format has no room for: such a set is not kept
        assert msgspec.msgpack.decode(encoded(found), type=RuleSet) == found
    assert time.process_time() - begun < CPU_S_MAX


def _try(seed: int) -> None:
    dice = random.Random(seed)
    text, other = bent_text(dice, SEEDS), dice.choice([*EXTRA, dice.choice(SEEDS)])
    pipeline = dice.choice([None, PIPELINE, bent_text(dice, [PIPELINE])])
    _is_borne(text, other, pipeline)


@given(st.integers(min_value=0, max_value=2**63))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_rule_that_was_bent_or_torn_is_taken_or_refused(seed):
    _try(seed)


WORDS = st.sampled_from([one for one in LEAVES if not isinstance(one, (list, dict))])
TREES = st.recursive(
    WORDS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.builds("{}|{}".format, st.sampled_from("ab"), st.sampled_from(KEYS)),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("action", "custom", "falsepositives", "filter", "level", "tags", "related", "status", "date"), TREES)),
       TREES, TREES, TREES)  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_structure_under_the_names_of_a_rule_is_taken_or_refused(more, logsource, detection, item):
    content = {
        "title": "x",
        "id": ID.format(5),
        "logsource": {"product": "windows"},
        "detection": {"s": item, "condition": "s"},
    }
    for changed in ({}, {"logsource": logsource}, {"detection": detection}, {"correlation": detection}):
        _is_borne(yaml.safe_dump({**content, **more, **changed}, allow_unicode=True), EXTRA[1], None)


@given(st.sampled_from(sorted(TRANSFORMATIONS | set(REFUSED))), st.dictionaries(st.sampled_from(
    ["mapping", "conditions", "items", "regex", "field", "fields", "message", "value", "type", "prefix", "suffix", "rule_conditions",
     "detection_item_conditions", "field_name_conditions", "valid_hash_algos", "target_type", "method", "rule_cond_expr"]), TREES, max_size=4))  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_structure_under_the_names_of_a_pipeline_is_taken_or_refused(kind, keys):
    pipeline = yaml.safe_dump({"transformations": [{**keys, "type": kind}]}, allow_unicode=True)
    _is_borne(EXTRA[0], EXTRA[1], pipeline)


@pytest.mark.slow
def test_very_many_rules_that_were_bent_or_torn_are_taken_or_refused():
    end = time.monotonic() + float(os.environ.get("FUZZ_S", "60"))
    seed = random.SystemRandom().randrange(2**40)
    while time.monotonic() < end:
        seed += 1
        try:
            _try(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
