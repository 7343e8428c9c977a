"""The documentation is true: its commands exist, its links lead somewhere, and it promises nothing that is not there."""

import re
import shlex
import socket

import pytest
from commanded import parsed
from pasted import FENCED, blocks, typed

from detectors.sigma import parse_rules, read_pipelines
from playbooks.playbook import parse_playbooks

LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")
PLACE = re.compile(r"(?m)^#+ (.*)$")
PROMISED = re.compile(r"(?i)\bwebhooks? in\b|\bomnibus\b")


def _commands(text):
    """Every ``miniwatch …`` that a reader would type: one a line, also behind pipes and inside $(…)."""
    for block in blocks(text, "sh", "console"):
        shell = re.sub(r"(?ms)<<'?(\w+)'?.*?^\1$", "", block.replace("\\\n", " "))
        for found in re.finditer(
            r"(?m)(?:^|[|;&(]|\$ )[ \t]*(?:[A-Z_]+=\S+ )*(?:\S*bin/)?miniwatch(?:-as-service)?\b([^\n]*)", shell
        ):
            yield _words(found.group(1))


def _words(rest):
    """The arguments of one command: up to a comment, a pipe, a redirection or the end of its parenthesis."""
    lexer = shlex.shlex(rest, posix=True, punctuation_chars="|<>;&()")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if word[0] in "|<>;&()":
            break
        words.append(word)
    return words


def test_every_command_in_the_documentation_is_one(documents):
    wrong = []
    for name, text in documents.items():
        for words in _commands(text):
            try:
                parsed(words)
            except Exception as error:  # noqa: BLE001 - whatever the command line says
                if type(error).__name__ != "Exit":
                    wrong.append((name, " ".join(words), str(error)))
    assert wrong == []


@pytest.mark.parametrize(
    "words", ["findings list --severty high", "finding list", "run --nowhere", "rules check --deep"]
)
def test_a_command_that_is_none_would_be_noticed(words):
    (shown,) = _commands(f"```sh\nminiwatch {words}\n```\n")
    with pytest.raises(Exception, match=r"(?i)no such|unexpected"):
        parsed(shown)


def test_every_link_leads_somewhere(documents, root):
    lost = []
    for name, text in documents.items():
        for target in LINK.findall(text):
            path, _, place = target.partition("#")
            if "://" in target:
                continue
            file = (root / name).parent / path if path else root / name
            if not file.is_file() or (place and place not in _places(file.read_text())):
                lost.append((name, target))
    assert lost == []


def _places(text):
    """Where a link may lead to within a page: its headings, named as those who show Markdown name them."""
    headings = PLACE.findall(FENCED.sub("", text))  # a comment in a shell's block is none
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_a_comment_in_a_block_is_no_place_to_link_to():
    assert _places("# A page\n\n```sh\n# what it does\nls\n```\n## Its `end`\n") == {"a-page", "its-end"}


def test_every_page_is_on_the_map(documents):
    linked = set(LINK.findall(documents["docs/index.md"]))
    assert {name for name in documents if name.startswith("docs/")} <= {
        "docs/index.md",
        *(f"docs/{name}" for name in linked),
    }


def test_nothing_is_promised_that_is_not_there(documents, texts):
    pages = {**documents, "CHANGELOG.md": texts["CHANGELOG.md"]}
    assert {name: match.group() for name, text in pages.items() if (match := PROMISED.search(text))} == {}


def test_every_rule_and_playbook_shown_can_be_loaded(documents):
    shown = [("shown", block) for block in blocks(documents["docs/rules.md"], "yaml")]
    pipelines = [one for one in shown if "transformations:" in one[1]]
    _, refused = read_pipelines(pipelines)
    assert refused == []
    assert list(parse_rules([one for one in shown if one not in pipelines]).problems) == []
    for block in blocks(documents["docs/playbooks.md"], "yaml"):
        assert list(parse_playbooks([("shown", block)])[1]) == []


def test_the_signature_check_that_receivers_are_shown_is_right(documents):
    from monitor.notifiers.webhook import signature  # noqa: PLC0415 - beside what it is compared with

    (block,) = blocks(documents["docs/operate.md"], "python")
    shown = {}
    exec(block, shown)  # noqa: S102 - our own text, to see that it works
    assert shown["is_genuine"](signature(b"secret", 1_000, b"{}"), b"{}", b"secret", 1_200.0)
    assert not shown["is_genuine"](signature(b"secret", 1_000, b"{}"), b"{ }", b"secret", 1_200.0)
    assert not shown["is_genuine"](signature(b"other", 1_000, b"{}"), b"{}", b"secret", 1_200.0)
    assert not shown["is_genuine"](signature(b"secret", 1_000, b"{}"), b"{}", b"secret", 2_000.0)


def test_the_twin_that_is_shown_for_a_correlation_is_that_of_the_correlation_shown(documents, tmp_path):
    rule = next(block for block in blocks(documents["docs/rules.md"], "yaml") if "name: bad_login" in block)
    twin = next(block for block in blocks(documents["docs/rules.md"], "sh") if "hit.jsonl" in block)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "many_bad_logins.yml").write_text(rule)
    typed([twin], tmp_path)


@pytest.mark.slow
def test_what_the_readme_gives_to_paste_finds_what_it_says(documents, tmp_path):
    shown = typed([block for block in blocks(documents["README.md"], "sh") if "mkdir" in block], tmp_path)
    assert "Clipboard read as soon as the app starts" in shown
    assert "App makes the phone buzz for long" in shown


@pytest.mark.slow
def test_a_first_shift_goes_as_written(documents, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    written = blocks(documents["docs/respond.md"], "sh")
    here = [block.replace("127.0.0.1:9464", f"127.0.0.1:{port}") for block in written]
    shown = typed(["trap 'kill $(jobs -p)' EXIT", *here], tmp_path)
    assert "who may approve it" in shown
    assert "Audit chain  unbroken" in shown


@pytest.mark.slow
def test_feedback_goes_as_written(documents, tmp_path):
    shown = typed(blocks(documents["docs/feedback.md"], "sh"), tmp_path)
    assert '"feedback":null' in shown
    assert "What became of it" in shown


@pytest.mark.slow
def test_the_first_ten_minutes_go_as_written(documents, tmp_path):
    shown = typed(blocks(documents["docs/getting-started.md"], "sh"), tmp_path)
    assert "A finance app asks for a postal address" in shown
    assert "app.category is 'finance'" in shown
