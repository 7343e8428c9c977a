"""Rules go through pySigma's pipelines before they are compiled, and no pipeline does anything but change rules."""

from __future__ import annotations

import pytest
import yaml

from detectors.sigma import Reading, SigmaDetector, parse_rules, read_pipelines
from detectors.testing import batch

ID = "5d2b1c1e-0000-4000-8000-00000000003{}"


def rule(detection=None, number=1, **more) -> str:
    content = {
        "title": f"rule {number}",
        "id": ID.format(number),
        "logsource": {"product": "windows", "category": "process_creation"},
        "detection": {"condition": "s", "s": {"Image|endswith": "\\cmd.exe"}} | (detection or {}),
    }
    return yaml.safe_dump(content | more, sort_keys=False)


def pipe(*items, **more) -> str:
    return yaml.safe_dump({"transformations": list(items), **more}, sort_keys=False)


def reading(*texts, **more):
    pipelines, problems = read_pipelines([(f"{place}.yml", text) for place, text in enumerate(texts)])
    assert not problems, [str(problem) for problem in problems]
    return Reading(pipelines=pipelines, **more)


def load(text, *pipelines, **more):
    found = parse_rules([("rule.yml", text)], reading(*pipelines, **more))
    assert not found.problems, [str(problem) for problem in found.problems]
    return found.rules[0]


def hits(one, *events):
    rows = SigmaDetector([one]).matches(
        batch(*({"event.dataset": "windows.process_creation", **event} for event in events))
    )
    true = {row for found in rows.values() for row in found.tolist()}
    return [place in true for place in range(len(events))]


MAP = {"type": "field_name_mapping", "mapping": {"Image": "process.executable", "User": ["user.name", "user.id"]}}
CMD = "C:\\Windows\\cmd.exe"


def test_fields_are_named_as_the_pipeline_says():
    one = load(rule(), pipe(MAP))
    assert one.fields == ("process.executable",)
    assert "process.executable" in one.needs
    assert hits(one, {"process.executable": CMD}, {"Image": CMD}) == [True, False]


@pytest.mark.parametrize(
    ("item", "detection", "true", "false"),
    [
        (MAP, {"s": {"User": "x"}}, [{"user.name": "x"}, {"user.id": "X"}], [{"User": "x"}]),
        (MAP, {"s": {"Image|re|startswith": "a|b"}}, [{"process.executable": "bx"}], [{"process.executable": "xb"}]),
        (MAP, {"s": {"a|fieldref": "Image"}}, [{"a": "x", "process.executable": "X"}], [{"a": "x", "Image": "x"}]),
        ({"type": "field_name_mapping", "mapping": {None: "message"}}, {"s": ["word"]}, [{"message": "a word"}], [{"a": "word"}]),
        ({"type": "field_name_prefix_mapping", "mapping": {"win.": "windows."}}, {"s": {"win.a": "x"}}, [{"windows.a": "x"}], [{"win.a": "x"}]),
        ({"type": "field_name_prefix", "prefix": "p."}, {"s": {"a": "x"}}, [{"p.a": "x"}], [{"a": "x"}]),
        ({"type": "field_name_suffix", "suffix": ".s"}, {"s": {"a": "x"}}, [{"a.s": "x"}], [{"a": "x"}]),
        ({"type": "drop_detection_item", "field_name_conditions": [{"type": "include_fields", "fields": ["b"]}]},
         {"s": {"a": "x", "b": "y"}}, [{"a": "x"}], [{"b": "y"}]),
        ({"type": "drop_detection_item", "field_name_conditions": [{"type": "include_fields", "fields": ["b"]}]},
         {"s": {"a": "x"}, "t": {"b": "y"}, "condition": "s and not t"}, [{"a": "x", "b": "y"}], [{"b": "z"}]),
        ({"type": "hashes_fields", "valid_hash_algos": ["MD5"], "field_prefix": "file.hash."},
         {"s": {"Hashes|contains": "MD5=987B65CD9B9F4E9A1AFD8F8B48CF64A7"}}, [{"file.hash.MD5": "987b65cd9b9f4e9a1afd8f8b48cf64a7"}], [{}]),
        ({"type": "extract_fields", "regex": "(?P<type>[A-Za-z]+):(?P<value>[0-9]+)", "field_prefix": "reg"},
         {"s": {"Details": "Dword:7"}}, [{"reg.type": "dword", "reg.value": 7}], [{"reg.type": "dword"}]),
        ({"type": "add_condition", "conditions": {"c": "1"}}, {"s": {"a": "x"}}, [{"a": "x", "c": "1"}], [{"a": "x"}]),
        ({"type": "add_condition", "conditions": {"p": "$product"}, "template": True}, {"s": {"a": "x"}},
         [{"a": "x", "p": "windows"}], [{"a": "x"}]),
        ({"type": "replace_string", "regex": "^C:", "replacement": "D:"}, {"s": {"a": "C:\\x*"}}, [{"a": "d:\\xy"}], [{"a": "c:\\xy"}]),
        ({"type": "map_string", "mapping": {"a": ["b", "c"]}}, {"s": {"f": "a"}}, [{"f": "b"}, {"f": "c"}], [{"f": "a"}]),
        ({"type": "set_value", "value": 7}, {"s": {"f": "a"}}, [{"f": 7}], [{"f": "a"}]),
        ({"type": "convert_type", "target_type": "num"}, {"s": {"f": "7"}}, [{"f": "7.0"}], [{"f": "8"}]),
        ({"type": "case", "method": "upper"}, {"s": {"f|cased": "a"}}, [{"f": "A"}], [{"f": "a"}]),
        ({"type": "wildcard_placeholders"}, {"s": {"f|expand": "a%x%b"}}, [{"f": "a1b"}], [{"f": "a1"}]),
        ({"type": "nest", "items": [MAP]}, {"s": {"Image": "x"}}, [{"process.executable": "x"}], [{"Image": "x"}]),
        ({"type": "set_custom_attribute", "attribute": "x", "value": 1}, {"s": {"f": "a"}}, [{"f": "a"}], [{"f": "b"}]),
    ],
)  # fmt: skip
def test_a_transformation_does_what_it_says(item, detection, true, false):
    assert hits(load(rule(detection), pipe(item)), *true, *false) == [True] * len(true) + [False] * len(false)


def test_a_pipeline_moves_rules_to_other_datasets():
    change = {"type": "change_logsource", "product": "linux", "category": "process_creation"}
    assert load(rule(), pipe(change)).datasets == ("linux.process_creation",)
    kept = {**change, "rule_conditions": [{"type": "logsource", "product": "macos"}]}
    assert load(rule(), pipe(kept)).datasets == ("windows.process_creation",)


def test_placeholders_come_from_the_configuration_and_from_vars():
    detection = {"s": {"f|contains|expand": "%ours%-%theirs%"}}
    text = pipe({"type": "value_placeholders"}, vars={"theirs": ["x", "y"]})
    one = load(rule(detection), text, placeholders={"ours": ["a", "b"]})
    assert hits(one, {"f": "a-x"}, {"f": "1b-y1"}, {"f": "a-"}) == [True, True, False]


def test_pipelines_run_in_the_order_of_their_priority():
    first = pipe({"type": "field_name_mapping", "mapping": {"Image": "one"}}, priority=20)
    second = pipe({"type": "field_name_mapping", "mapping": {"Image": "two", "one": "three"}}, priority=10)
    assert load(rule(), first, second).fields == ("two",)
    assert load(rule(), first.replace("20", "5"), second).fields == ("three",)


def test_filters_go_through_the_pipelines_too():
    ours = yaml.safe_dump({"title": "f", "logsource": {"product": "windows"}, "filter": {
        "rules": "any", "condition": "not s", "s": {"User": "me"}}})  # fmt: skip
    found = parse_rules([("r.yml", rule()), ("f.yml", ours)], reading(pipe(MAP)))
    event = {"process.executable": CMD}
    assert hits(found.rules[0], event, event | {"user.name": "me"}, event | {"User": "me"}) == [True, False, True]


def test_files_that_are_spared_are_read_as_they_stand():
    one = load(rule(), pipe(MAP), spared=frozenset({"rule.yml"}))
    assert (one.fields, one.version) == (("Image",), one.written)


def test_the_version_changes_with_what_the_pipeline_makes_of_the_rule_and_with_nothing_else():
    plain, mapped = load(rule()), load(rule(), pipe(MAP))
    other = load(rule(), pipe({"type": "field_name_mapping", "mapping": {"Image": "image"}}))
    moot = load(rule(), pipe({"type": "field_name_mapping", "mapping": {"Nobody": "x"}}))
    named = load(rule(), pipe(MAP, name="again"))
    assert len({plain.version, mapped.version, other.version}) == 3
    assert (plain.version, mapped.version) == (moot.version, named.version)
    assert load(rule(), pipe({"type": "add_condition", "conditions": {"a": 1}})).version == \
        load(rule(), pipe({"type": "add_condition", "conditions": {"a": 1}})).version  # fmt: skip


def test_the_stamp_of_a_reading_changes_with_its_pipelines():
    stamps = {reading(*texts).stamp for texts in ([], [pipe(MAP)], [pipe(MAP, priority=1)], [pipe(MAP), pipe()])}
    assert len(stamps) == 4


def test_reading_a_rule_changes_neither_its_document_nor_the_next_rule():
    item = {"type": "add_field", "field": "x"}
    one = rule(fields=["a"])
    assert load(one, pipe(item)).written == load(one).written
    found = parse_rules([("a.yml", rule(number=1)), ("b.yml", rule(number=2))], reading(pipe(MAP)))
    assert [each.fields for each in found.rules] == [("process.executable",)] * 2


def correlation(**more) -> str:
    content = {"type": "value_count", "rules": [ID.format(1)], "group-by": ["User"], "timespan": "1m",
               "condition": {"field": "Image", "gte": 2}}  # fmt: skip
    return yaml.safe_dump({"title": "many", "id": ID.format(9), "correlation": content | more})


def test_the_fields_of_correlations_are_named_as_the_pipeline_says_where_it_applies():
    change = {"type": "field_name_mapping", "mapping": {"Image": "process.executable", "User": "user.name"}}
    for product, group, value in (("windows", "user.name", "process.executable"), ("linux", "User", "Image")):
        item = {**change, "rule_conditions": [{"type": "logsource", "product": product}]}
        plain, piped = (
            parse_rules([("r.yml", rule()), ("c.yml", correlation())], reading(*texts)) for texts in ([], [pipe(item)])
        )
        assert [str(problem) for problem in piped.problems] == []
        window = piped.rules[1].window
        assert (window.groups[0].fields, window.values) == ((group,), ((value,),))
        assert (plain.rules[1].version == piped.rules[1].version) is (product == "linux")


def test_aliases_of_correlations_are_named_as_the_pipeline_says():
    one = correlation(**{"group-by": ["who"], "aliases": {"who": {ID.format(1): "Image"}}})
    found = parse_rules([("r.yml", rule()), ("c.yml", one)], reading(pipe(MAP)))
    assert found.rules[1].window.groups[0].fields == ("process.executable",)
    two = correlation(aliases={"who": {ID.format(1): "User"}})
    (problem,) = parse_rules([("r.yml", rule()), ("c.yml", two)], reading(pipe(MAP))).problems
    assert "multiple field names" in problem.message


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"type": "rule_failure", "message": "not here"}, "a pipeline does not take it: not here"),
        ({"type": "detection_item_failure", "message": "not this"}, "not this"),
        ({"type": "strict_field_mapping_failure"}, "not mapped: Image"),
        ({"type": "drop_detection_item"}, "nothing is left of its condition"),
        ({"type": "convert_type", "target_type": "num"}, "can't be converted to number"),
        ({"type": "change_logsource", "product": "miniprogram", "service": "nowhere"}, "use one of: api"),
        ({"type": "nest", "items": [{"type": "rule_failure", "message": "inside"}]}, "inside"),
    ],
)
def test_a_rule_that_a_pipeline_does_not_take_is_refused_and_the_others_go_on(item, said):
    item = {**item, "rule_conditions": [{"type": "logsource", "product": "windows"}]}
    other = rule({"s": {"a": "b"}}, 2, logsource={"product": "linux"})
    found = parse_rules([("a.yml", rule()), ("b.yml", other)], reading(pipe(item)))
    assert ([problem.path for problem in found.problems], len(found.rules)) == (["a.yml"], 1)
    assert said in found.problems[0].message


def test_a_placeholder_that_no_pipeline_resolves_is_refused():
    for detection, said in (
        ({"s": {"f|expand": "%x%"}}, "found the placeholder %x%"),
        ({"s": {"f|re|expand": "%x%"}}, "found the placeholder %x%"),
        ({"s": {"f|expand|base64": "%x%"}}, "found the placeholder %x%"),
    ):
        (problem,) = parse_rules([("a.yml", rule(detection))], reading(pipe(MAP))).problems
        assert said in problem.message


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (pipe({"type": "file_placeholders", "paths": ["/etc/passwd"]}), "file_placeholders: it would read files", 2),
        (pipe({"type": "http_placeholders"}), "it would ask the network", 2),
        (pipe({"type": "command_placeholders", "command": "id"}), "it would run a program", 2),
        (pipe(MAP, {"type": "nest", "items": [MAP, {"type": "command_placeholders"}]}), "it would run a program", 12),
        (pipe({"type": "field_name_transform"}), "it would run code", 2),
        (pipe({"type": "query_expression_placeholders", "expression": "x"}), "query language", 2),
        (pipe({"type": "regex"}), "without regard to case already", 2),
        (pipe({"type": "mapfields"}), "there is no such transformation; there are: add_condition", 2),
        (pipe({"mapping": {}}), "without a type", 2),
        (pipe({"type": "field_name_mapping"}), "mapping", 2),
        (pipe({"type": "field_name_mapping", "mapping": {"a": 5}}), "found 5; write a text", 4),
        (pipe({"type": "field_name_mapping", "mapping": ["a"]}), "found no mapping", 3),
        (pipe({"type": "replace_string", "regex": "(", "replacement": ""}), "invalid", 2),
        (pipe({**MAP, "rule_conditions": [{"type": "nobody"}]}), "Unknown condition", 2),
        (pipe(finalizers=[{"type": "template", "template": "{{ x }}", "path": "/etc"}]), "it shapes a query", 2),
        (pipe(postprocessing=[{"type": "embed", "prefix": "x"}]), "it shapes a query", 2),
        (pipe(MAP, vars={"a": [{}]}), "found no values of 'a'", 9),
        (pipe(MAP, vars=["a"]), "no mapping under vars", 8),
        (pipe(MAP, priority="high"), "found priority", 8),
        (pipe(MAP, allowed_backends=["splunk"]), "for other backends; add miniwatch", 8),
        (pipe(MAP, transformation=[]), "found the key 'transformation'", 8),
        (yaml.safe_dump({"transformations": {}}), "no list", 1),
        ("a: 1\n---\nb: 2\n", "found 2 documents", 0),
        ("", "found 0 documents", 0),
        ("- a", "found a list", 1),
        ("a: [", "not readable", 2),
    ],
)  # fmt: skip
def test_what_a_pipeline_must_not_or_cannot_do_is_refused_with_its_place(text, said, line):
    pipelines, problems = read_pipelines([("good.yml", pipe(MAP)), ("p.yml", text)])
    assert pipelines is None
    told = [problem for problem in problems if said in problem.message]
    assert [(problem.path, problem.line) for problem in told] == [("p.yml", line)]


def test_a_pipeline_may_say_that_it_is_ours():
    assert load(rule(), pipe(MAP, allowed_backends=["miniwatch"], name="x")).fields == ("process.executable",)
