"""The documents say what the code says: modules, options, reasons, scopes, commands, messages."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config, Configurable

from hubcull_hub.arguments import make_parser
from hubcull_hub.fitness import Features, judge
from hubcull_hub.hub_answers import TokenOwner
from hubcull_hub.model import Deferral, Reason, Result
from hubcull_hub.options import Hubcull
from hubcull_hub.users import UserReason
from hubcull_server_ext import wire
from hubcull_server_ext.config import HubcullSettings
from hubcull_server_ext.signals.app_traffic import HEARTBEATS
from hubcull_server_ext.signals.jobs import NOT_WORK

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def text(page: str) -> str:
    """Return one document."""
    return (ROOT / page).read_text("utf-8")


def section(page: str, heading: str) -> str:
    """Return what stands below one heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text(page), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no section {heading!r}"
    return found[1]


def rows(markdown: str) -> Iterator[list[str]]:
    """Yield the cells of each row whose first cell is code, as in `timeout`."""
    for line in markdown.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def first_cells(markdown: str) -> list[str]:
    """Return the code in the first cell of each row."""
    return [row[0].strip("`") for row in rows(markdown)]


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)


def holds_nothing(module: Path) -> bool:
    """Tell whether a module has nothing but a docstring, and perhaps an import from the future."""
    return all(
        isinstance(node, (ast.Expr, ast.ImportFrom)) for node in ast.parse(module.read_text("utf-8")).body
    )


def modules(package: str) -> list[str]:
    """Return a package's modules, but for the `__init__` files that hold nothing but a docstring."""
    return [
        path.relative_to(ROOT / package).as_posix()
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__init__.py" or not holds_nothing(path)
    ]


@pytest.mark.parametrize(
    ("package", "heading"),
    [("hubcull_server_ext", "The files of the extension"), ("hubcull_hub", "The files of the service")],
)
def test_the_architecture_names_every_module_and_no_other(package: str, heading: str) -> None:
    """A new file gets its row, and a file that is gone loses it."""
    assert sorted(first_cells(section("ARCHITECTURE.md", heading))) == sorted(modules(package))


def shown(value: object) -> str:
    """Return a default as the tables show it."""
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, (int, float)) else f"`{value}`"


def defaults(options: Configurable) -> dict[str, Any]:
    """Return the default of every configurable trait."""
    return {name: getattr(options, name) for name in type(options).class_trait_names(config=True)}


def test_the_readme_tells_every_option_of_the_service_with_its_default() -> None:
    """And no option that is not there."""
    told = {row[0].strip("`"): row[1] for row in rows(section("README.md", "Options of the service"))}
    assert told == {name: shown(value) for name, value in defaults(Hubcull()).items()}


def test_the_readme_tells_every_setting_of_the_extension_with_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its variable, too; the one list is told in full on the page about configuration."""
    settings = defaults_without_environment(monkeypatch)
    told = {
        row[0].strip("`"): tuple(row[1:3]) for row in rows(section("README.md", "Settings of the extension"))
    }
    variables = {name: f"`HUBCULL_{name.upper()}`" for name in settings} | {"service_url": "`HUBCULL_URL`"}
    lists = {"not_work": "a list", "app_heartbeats": "a list", "app_checks": "none"}
    values = {name: shown(value) for name, value in settings.items()} | lists
    assert told == {name: (variables[name], values[name]) for name in settings}


def defaults_without_environment(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """Return the extension's defaults, whatever the environment of the tests says."""
    for name in HubcullSettings.class_trait_names(config=True):
        monkeypatch.delenv(f"HUBCULL_{name.upper()}", raising=False)
    return defaults(HubcullSettings())


def test_the_programs_that_are_no_work_are_told_in_full() -> None:
    """In the order of the code."""
    told = text("docs/configuration.md").split("The default is:")[2].split("\n\n")[1]
    assert tuple(re.findall(r"`([^`]+)`", told)) == NOT_WORK


def test_the_known_heartbeats_are_told_in_full() -> None:
    """In the order of the code."""
    told = text("docs/configuration.md").split("The default is:")[1].split("\n\n")[1]
    assert tuple(re.findall(r"`([^`]+)`", told)) == HEARTBEATS


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Reasons", Reason),
        ("Reasons about users", UserReason),
        ("Why a due server is not stopped in this cycle", Deferral),
        ("Results", Result),
    ],
)
def test_the_glossary_explains_every_word_of_the_api(
    heading: str, words: type[Reason] | type[UserReason] | type[Deferral] | type[Result]
) -> None:
    """Each once, and none that is not there."""
    assert sorted(first_cells(section("docs/glossary.md", heading))) == sorted(word.value for word in words)


def targets() -> set[str]:
    """Return the Makefile's targets."""
    found = re.findall(r"^([a-z][a-z0-9 ]*):(?!=)", text("Makefile"), re.MULTILINE)
    return {target for line in found for target in line.split()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_links_lead_somewhere(page: Path) -> None:
    """Every `make target` is one, and every link within the repository ends at a file."""
    markdown = page.read_text("utf-8")
    code = re.findall(r"`(make [^`\n]*)`|^(make .*)$", markdown, re.MULTILINE)
    asked = {word for pair in code for word in "".join(pair).split()[1:] if re.fullmatch("[a-z0-9]+", word)}
    assert asked <= targets()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", markdown)
    assert [link for link in links if not (page.parent / link).exists()] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made from their words."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_a_part_of_a_page_lead_to_a_heading(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text("utf-8"))
    wrong = [
        f"{path}#{anchor}"
        for path, anchor in links
        if anchor not in anchors((page.parent / path) if path else page)
    ]
    assert wrong == []


def test_the_readme_begins_with_the_two_commands() -> None:
    """A newcomer finds them before anything has to be installed."""
    assert re.findall(r"^make .*$", text("README.md").split("## Install")[0], re.MULTILINE) == [
        "make demo",
        "make test",
    ]


def test_the_readmes_hub_configuration_grants_what_the_service_needs() -> None:
    """It runs, its options are understood, and its scopes are those that are missed without them."""
    (block,) = blocks("README.md", "python")
    config = Config()
    config.JupyterHub.services = []
    config.JupyterHub.load_roles = []
    config.Spawner.environment = {}
    exec(compile(block, "README.md", "exec"), {"c": config})  # noqa: S102 - our own document
    (service,), (role,) = config.JupyterHub.services, config.JupyterHub.load_roles
    nobody = TokenOwner("service", service["name"], frozenset(), None)
    needed = re.findall(r"scope (\S+) is missing", str([p.text for p in judge("4.0.0", nobody, Features())]))
    assert sorted(role["scopes"]) == sorted(needed)
    assert role["services"] == [service["name"]]
    assert service["command"][1:3] == ["-m", "hubcull_hub"]
    make_parser().parse_args(service["command"][3:])
    assert config.Spawner.environment["HUBCULL_URL"].endswith(f"/services/{service['name']}/")


def test_the_architectures_messages_are_real() -> None:
    """The wire reads them and writes the same."""
    report, reply = (json.loads(block) for block in blocks("ARCHITECTURE.md", "json"))
    assert wire.to_json(wire.report_from_json(report)) == report
    assert wire.to_json(wire.reply_from_json(reply)) == reply
    assert reply["reason"] in {reason.value for reason in Reason}


def test_every_decision_is_in_the_index() -> None:
    """In order, each with the heading of its page."""
    pages = sorted((ROOT / "docs/adr").glob("0*.md"))
    told = re.findall(r"\[(\d+)\]\(([^)]+)\) \| (.*) \|", text("docs/adr/README.md"))
    found = [page.read_text("utf-8").partition("\n")[0].removeprefix("# ").split(". ", 1) for page in pages]
    assert told == [(number, page.name, title) for page, (number, title) in zip(pages, found, strict=True)]


def test_examples_in_the_contributors_guide_are_in_the_tests() -> None:
    """Style by example: the example is one."""
    (example,) = blocks("CONTRIBUTING.md", "python")
    assert example in text("tests/unit/hub/test_policy.py")
