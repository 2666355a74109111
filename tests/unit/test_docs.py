"""README and docs/ hold what they say: links lead somewhere, commands parse, profile keys and names of the package exist.

Nothing is run and nothing heavy imported: commands are parsed by the typer app, names are looked up in the source.
"""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from functools import cache
from pathlib import Path

import pytest
import typer.core
import typer.main
import yaml

from plottwist import claims, profiles
from plottwist.cli import app
from plottwist.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NEWCOMER = ("change-the-model", "change-the-data", "change-the-reward", "add-an-nqd", "add-a-notebook", "your-own-films", "checklist")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def _blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if language in languages]


def _in_backticks(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def _links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return [link.partition("#")[0] for link in found if not re.match(r"[a-z]+:|#", link)]


def _commands(block: str) -> list[list[str]]:
    """The arguments of every ``plottwist`` of a shell block: also behind a pipe, after variables and as ``-m plottwist``."""
    shell = re.sub(r"<<'?(\w+)'?.*?\n.*?^\1$", "", block, flags=re.MULTILINE | re.DOTALL)
    shell = re.sub(r"(^|\s)#\s.*$", "", shell.replace("\\\n", " "), flags=re.MULTILINE)
    lexer = shlex.shlex(shell.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";|&<>()"):
            found += _arguments(words)
            words = []
        else:
            words.append(word)
    return found


def _arguments(words: list[str]) -> list[list[str]]:
    """What stands behind ``plottwist`` where it is the command that is called, else nothing (the bare name is the package)."""
    called = [i for i, word in enumerate(words) if word == "plottwist" and (words[i - 1 : i] == ["-m"] or all("=" in w for w in words[:i]))]
    return [words[called[0] + 1 :]] if called and called[0] + 1 < len(words) else []


def _resolved(arguments: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
    """The command that is meant and what is left for it. Raises a usage error if there is none."""
    command = typer.main.get_command(app)
    while isinstance(command, typer.core.TyperGroup):
        _, command, arguments = command.resolve_command(command.context_class(command), arguments)
    return command, arguments


def _parsed(arguments: list[str]) -> dict[str, object]:
    """What a command line means, by the typer app itself; a usage error is raised, nothing is run."""
    command, rest = _resolved(arguments)
    return command.make_context("plottwist", rest).params


@cache
def _names(module: str) -> dict[str, ast.AST] | None:
    """What a module defines or imports at its top; None if there is no such module."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return _bound(ast.parse(file.read_text(encoding="utf-8"))) if file.is_file() else None


def _bound(node: ast.AST) -> dict[str, ast.AST]:
    found: dict[str, ast.AST] = {}
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            found[child.name] = child
        elif isinstance(child, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0]: child for alias in child.names}
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            found |= {name.id: child for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def _exists(dotted: str) -> bool:
    """Whether ``plottwist.x.y`` is a module, a name in one, or a name in a class of one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        if (names := _names(".".join(parts[:cut]))) is not None:
            for part in parts[cut:]:
                if part not in names:
                    return False
                names = _bound(names[part])
            return True
    return False


def _scripts(text: str) -> list[str]:
    """The Python of a page: bodies of here-documents and of ``python -c``."""
    shell = "\n".join(_blocks(text, "bash"))
    found = re.findall(r"<<'EOF'\n(.*?)^EOF$", shell, re.MULTILINE | re.DOTALL) + re.findall(r'python -c "(.*?)"', shell, re.DOTALL)
    return [body for body in found if re.search(r"^\s*(from|import) plottwist|^from plottwist", body, re.MULTILINE)]


def _used(script: str) -> set[str]:
    """Names of the package that a script imports, and attributes of what it imports, as ``plottwist.x.y``."""
    tree = ast.parse(textwrap.dedent(script))
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "plottwist"
        for alias in node.names
    }
    modules = {name: dotted for name, dotted in imported.items() if _names(dotted) is not None}
    attributes = {
        f"{modules[node.value.id]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    return {*imported.values(), *attributes}


def _unknown_keys(words: list[str]) -> list[str]:
    """Of the words of the form ``section.key``, those whose section is a profile's but whose key is not."""
    fields = {name: profiles.Profile.model_fields[name].annotation.model_fields for name in profiles.sections()}
    pairs = [word.split(".") for word in words if re.fullmatch(r"[a-z_]+\.[a-z_]+", word)]
    return [".".join(pair) for pair in pairs if pair[0] in fields and pair[1] not in fields[pair[0]]]


def test_every_page_of_the_newcomers_hour_is_linked_from_the_readme():
    linked = _links((ROOT / "README.md").read_text())
    assert {f"docs/{name}.md" for name in NEWCOMER} <= set(linked)


@pages
def test_links_lead_somewhere(page: Path):
    assert not [link for link in _links(page.read_text()) if not (page.parent / link).exists()]


@pages
def test_commands_parse(page: Path):
    text = page.read_text()
    for block in _blocks(text, "bash"):
        for arguments in _commands(block):
            _parsed(arguments)


@pages
def test_commands_within_a_sentence_exist_with_their_options(page: Path):
    for told in _in_backticks(page.read_text()):
        for arguments in _commands(told):
            command, rest = _resolved(arguments)
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in rest if word.startswith("-") and word != "-"} <= known, told


@pages
def test_profile_keys_exist(page: Path):
    assert not _unknown_keys(_in_backticks(page.read_text()))


@pages
def test_names_of_the_package_exist(page: Path):
    text = page.read_text()
    named = {word for word in _in_backticks(text) if re.fullmatch(r"plottwist(\.\w+)+", word)}
    used = set().union(*map(_used, _scripts(text)))
    assert not {name for name in named | used if not _exists(name)}


def test_the_claim_of_the_recipe_is_a_claim():
    told = re.search(r"claims\.yaml <<'EOF'\n(.*?)^EOF$", (ROOT / "docs/add-a-notebook.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [claims.Claim.model_validate(row).notebook for row in yaml.safe_load(told[1])] == ["10_lengths"]


def test_an_own_profile_is_named_by_its_whole_path():
    """Notebooks run in a folder of their own: a relative path would not be found there."""
    assert _parsed(["run", "00", "--profile", "own.yaml"])["profile"] == str(Path("own.yaml").resolve())
    assert _parsed(["run", "00", "--profile", "smoke"])["profile"] == "smoke"


@pytest.mark.parametrize("line", ["plottwist rat x.jsonl", "plottwist rate", "ls | plottwist rate - --modle x", "A=b plottwist data chek"])
def test_a_command_that_does_not_parse_is_seen(line):
    (arguments,) = _commands(line)
    with pytest.raises(Exception, match=r"No such|Missing"):
        _parsed(arguments)


def test_commands_are_found_wherever_they_stand():
    block = "cat > x <<'EOF'\nplottwist no\nEOF\nA=1 plottwist rate x --out \\\n  y | head  # plottwist no\naccelerate launch -m plottwist artifact writer\ngit add plottwist results\n"
    assert _commands(block) == [["rate", "x", "--out", "y"], ["artifact", "writer"]]


def test_a_name_or_key_that_does_not_exist_is_seen():
    assert _exists("plottwist.generator.reward.PlotReward.standard") and _exists("plottwist.corpora.storyworld.Levels")
    assert not _exists("plottwist.generator.reward.PlotRewards") and not _exists("plottwist.generators")
    assert not _exists("plottwist.generator.reward.PlotReward.standards")
    script = "from plottwist.generator import experiments, nothing\nexperiments.align\nexperiments.aline"
    assert {n for n in _used(script) if not _exists(n)} == {"plottwist.generator.nothing", "plottwist.generator.experiments.aline"}
    assert _unknown_keys(["generator.base", "generator.basis", "results.json"]) == ["generator.basis"]
