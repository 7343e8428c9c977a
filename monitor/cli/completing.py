"""``miniwatch completion``: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

from typer import Argument

from monitor.cli.leaving import USAGE
from monitor.cli.printing import write_text
from monitor.cli.terminal import visible


class Shell(StrEnum):
    """Shells that are known here."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


SCRIPTS: Final = {
    Shell.BASH: """\
_miniwatch() {
    local IFS=$'\\n' words
    words="${COMP_WORDS[*]:1:COMP_CWORD}"
    COMPREPLY=($("$1" completion bash --propose="$words" 2>/dev/null))
}
complete -o default -F _miniwatch miniwatch
""",
    Shell.ZSH: """\
#compdef miniwatch
_miniwatch() {
    local -a found
    found=("${(@f)$("${words[1]}" completion zsh --propose="${(@F)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n ${found[1]} ]]; then
        _describe -V miniwatch found
    else
        _files
    fi
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _miniwatch "$@"
else
    compdef _miniwatch miniwatch
fi
""",
    Shell.FISH: """\
function __miniwatch_complete
    set -l words (commandline -opc)
    set -e words[1]
    set -a words (commandline -ct)"."
    set -l found (command miniwatch completion fish --propose=(string join \\n -- $words | string collect) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command miniwatch --no-files --arguments '(__miniwatch_complete)'
""",
}
"""What each shell is to read at its start. Where nothing is proposed, files are."""

ASKED: Final = "--propose="

_WORDS: Final = re.compile(r"[a-z-]+(\|[a-z-]+)+")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What may stand where the cursor is, and what it means."""

    value: str
    meaning: str = ""


def completion(shell: Annotated[Shell, Argument(help="For which shell.", show_default=False)]) -> None:
    """Print what a shell needs to complete commands, options and their values.

    For this shell alone: source <(miniwatch completion bash). For good, into a file that the shell reads at its start: bash:
    ~/.local/share/bash-completion/completions/miniwatch, zsh: _miniwatch in a folder of fpath, fish: ~/.config/fish/completions/miniwatch.fish.
    """
    write_text(SCRIPTS[shell])


def answer(shell: str, asked: str, *more: str) -> None:
    """What a script of ours asks at each press of a key, with the words so far, a line each: told without the command line around it, which takes longer."""
    if shell not in list(Shell) or not asked.startswith(ASKED) or more:
        sys.stderr.write("miniwatch: completion takes one argument: bash, zsh or fish\n")
        raise SystemExit(USAGE)
    words = asked.removeprefix(ASKED)
    words = words.removesuffix(".") if shell == Shell.FISH else words  # fish loses an empty word at the end
    *before, begun = _put_together(words.split("\n"))
    for one in proposals(before, begun):
        write_text(_written(one, Shell(shell)))


def _put_together(words: Sequence[str]) -> list[str]:
    """The words as the command line takes them: bash gives an equals sign as a word of its own."""
    if words[-1] == "=":
        return [*(word for word in words if word != "="), ""]
    return [word for word in words if word != "="]


def _written(one: Proposal, shell: Shell) -> str:
    meaning = visible(one.meaning)
    if shell is Shell.BASH or not meaning:
        return one.value
    if shell is Shell.FISH:
        return f"{one.value}\t{meaning}"
    return f"{one.value.replace(':', chr(92) + ':')}:{meaning}"


def proposals(before: Sequence[str], begun: str) -> Iterator[Proposal]:
    """What may follow some words of a command line, of what begins so; nothing where it is a file, a name or a number."""
    command, given = _command_of(before)
    options = [one for one in command.params if one.param_type_name == "option" and not getattr(one, "hidden", False)]
    awaited = next((one for one in options if given and given[-1] in one.opts and not one.is_flag), None)
    if awaited is not None:
        found: Iterator[Proposal] = _values(command, awaited)
    elif begun.startswith("-"):
        found = (Proposal(name, _first(one.help)) for one in options for name in _names(one))
    elif hasattr(command, "commands"):
        found = _commands(command)
    else:
        found = (each for one in command.params if one.param_type_name == "argument" for each in _values(command, one))
    return (one for one in found if one.value.startswith(begun))


def _command_of(words: Sequence[str]) -> tuple[Any, Sequence[str]]:
    """The command that the words have come to, and the words after its name."""
    from typer.main import get_command  # noqa: PLC0415 - loaded already; the tree loads this file

    from monitor.cli.tree import app  # noqa: PLC0415 - as above

    command: Any = get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and (names := [word for word in rest if not word.startswith("-")]):
        inner = command.get_command(None, names[0])
        if inner is None:
            break
        command, rest = inner, rest[rest.index(names[0]) + 1 :]
    return command, rest


def _commands(group: Any) -> Iterator[Proposal]:
    from monitor.cli.tree import COMMANDS, Tree  # noqa: PLC0415 - as above

    if isinstance(group, Tree):  # what it says of its commands needs none of them
        yield from (Proposal(place.name, place.summary) for place in COMMANDS)
        return
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield Proposal(name, _first(command.help if command is not None else ""))


def _names(option: Any) -> list[str]:
    """How an option may be written, the long way where there is one."""
    names = [*option.opts, *option.secondary_opts]
    return [name for name in names if name.startswith("--")] or names


def _values(command: Any, parameter: Any) -> Iterator[Proposal]:
    """The words that a parameter may be, where these are few and known."""
    if _WORDS.fullmatch(metavar := parameter.metavar or ""):
        return (Proposal(word) for word in metavar.split("|"))
    items = parameter.shell_complete(command.context_class(command), "")
    return (Proposal(item.value) for item in items if item.type == "plain")


def _first(text: str | None) -> str:
    """The first sentence."""
    return " ".join((text or "").split("\n\n", maxsplit=1)[0].split()).split(". ")[0].rstrip(".")
