"""The install pages: every block is well-formed, says what the code needs, fits its neighbours.

What takes a real Hub to show is in `tests/e2e/test_install_pages.py`.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from traitlets import Dict
from traitlets.config import Config, Configurable
from traitlets.config.loader import PyFileConfigLoader

from harness.pages import PAGES, ROOT, block, hub_config, named_blocks, run
from hubcull_hub.config import Settings, load
from hubcull_hub.fitness import Features, judge
from hubcull_hub.hub_answers import TokenOwner
from hubcull_hub.model import CullPlan, Instant
from hubcull_hub.report import CycleReport, summary

ADDRESSES = {
    "one-machine.md": ("127.0.0.1", "127.0.0.1"),
    "littlest.md": ("127.0.0.1", "127.0.0.1"),
    "docker.md": ("127.0.0.1", "jupyterhub"),
}
"""Of each page with a Hub configured in Python: where the Hub finds the service, and where servers do."""

LOCAL = {"127.0.0.1", "localhost"}

HUB = {"app": "jupyterhub", "component": "hub", "hub.jupyter.org/network-access-singleuser": "true"}
TO_HUB = {"app": "jupyterhub", "hub.jupyter.org/network-access-hub": "true"}
PODS = {
    "hub": HUB,
    "proxy": TO_HUB | {"component": "proxy"},
    "user": TO_HUB | {"component": "singleuser-server"},
}
"""The labels of the chart's pods that matter here, as its templates and values say in 4.3.2."""

CHART_KEYS = {
    "cull.enabled",
    "hub.extraConfig.*",
    "hub.image.name",
    "hub.image.tag",
    "hub.loadRoles.*.scopes",
    "hub.loadRoles.*.services",
    "hub.networkPolicy.egress",
    "hub.networkPolicy.ingress",
    "hub.service.extraPorts",
    "hub.services.*.command",
    "hub.services.*.display",
    "hub.services.*.url",
    "proxy.chp.networkPolicy.egress",
    "singleuser.extraEnv.*",
    "singleuser.image.name",
    "singleuser.image.tag",
    "singleuser.networkPolicy.egress",
}
"""What the page sets of the chart. Its schema takes each: checked with 3.0.0, 3.3.8, 4.0.0 and 4.3.2. A new
key belongs here once it has been checked, too; the chart can not be had from a package index."""


def settings(service: Mapping[str, Any], address: str) -> Settings:
    """Return how hubcull understands the command of a service's entry, in the environment of that entry."""
    command = list(service["command"])
    at = command.index("hubcull_hub")
    assert command[at - 1] == "-m"
    environment = {
        "JUPYTERHUB_SERVICE_NAME": "hubcull",
        "JUPYTERHUB_SERVICE_URL": service["url"],
        "JUPYTERHUB_SERVICE_PREFIX": "/services/hubcull/",
        "JUPYTERHUB_API_URL": f"http://{address}:8081/hub/api",
        "JUPYTERHUB_API_TOKEN": "secret",
    }
    return load(command[at + 1 :], environment)


def fits(service: Mapping[str, Any], servers_url: str, address: str) -> None:
    """Assert that a service listens where Hub and servers look for it, and begins with a dry run."""
    understood = settings(service, address)
    assert understood.limits.dry_run
    assert understood.bind is not None
    host, port = understood.bind
    hub, servers = urlsplit(service["url"]), urlsplit(servers_url)
    assert port == hub.port == servers.port
    assert servers.path == "/services/hubcull/"
    local = {hub.hostname, servers.hostname} <= LOCAL
    assert host in LOCAL if local else host == "0.0.0.0"  # noqa: S104 - what the page is to say


def grants_what_is_needed(scopes: list[str]) -> None:
    """Assert that a role's scopes are those that hubcull misses without them, and no others."""
    nobody = TokenOwner("service", "hubcull", frozenset(), None)
    told = " ".join(problem.text for problem in judge("4.0.0", nobody, Features()))
    assert sorted(scope.partition("!")[0] for scope in scopes) == sorted(
        re.findall(r"scope (\S+) is missing", told)
    )


def all_blocks(language: str) -> list[Any]:
    """Return every block of a language, as a test's parameters."""
    fence = re.compile(rf"^```{language}(?: \S+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(text, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, text in enumerate(fence.findall(page.read_text("utf-8")))
    ]


def test_every_page_is_there() -> None:
    assert {"README.md", "kubernetes.md", *ADDRESSES} == {page.name for page in PAGES}
    for page in ADDRESSES:
        assert {"wheel", "hub", "check"} <= set(named_blocks(page))


@pytest.mark.parametrize("text", all_blocks("sh"))
def test_commands_can_be_read_by_a_shell(text: str) -> None:
    done = subprocess.run(["sh", "-n"], input=text, text=True, capture_output=True, check=False)  # noqa: S607
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", all_blocks("python"))
def test_python_can_be_compiled(text: str) -> None:
    ast.parse(f"{{{text}}}" if text.startswith('"') else text)


@pytest.mark.parametrize("text", all_blocks("dockerfile"))
def test_images_get_the_wheel_with_the_extra_that_fits(text: str) -> None:
    extras = re.findall(r"hubcull-\*\.whl\)\[([a-z-]+)\]", text)
    assert extras == [{"k8s-hub": "hub", "jupyterhub": "hub", "base-notebook": "server-ext"}[base(text)]]
    assert f"{extras[0]} = [" in (ROOT / "pyproject.toml").read_text("utf-8")
    assert text.index("COPY dist/hubcull-*.whl /tmp/") < text.index("pip install")


def base(dockerfile: str) -> str:
    """Return the name of the image that a Dockerfile begins with, without registry and tag."""
    return dockerfile.splitlines()[0].rpartition("/")[2].partition(":")[0]


@pytest.mark.parametrize("page", ADDRESSES)
def test_service_and_servers_find_each_other(page: str) -> None:
    """The entry can be used as it stands, its role holds the three scopes, and one port is meant."""
    config = hub_config(block(page, "hub"))
    (service,), (role,) = config.JupyterHub.services, config.JupyterHub.load_roles
    url = config.Spawner.environment["HUBCULL_URL"]
    fits(service, url, "127.0.0.1")
    assert (urlsplit(service["url"]).hostname, urlsplit(url).hostname) == ADDRESSES[page]
    assert role["services"] == [service["name"]] == ["hubcull"]
    grants_what_is_needed(role["scopes"])
    assert f"HUBCULL_URL=http://127.0.0.1:{urlsplit(url).port}/services/hubcull/" in block(page, "check")


class Spawner(Configurable):
    """JupyterHub's class of that name, as far as its variables go."""

    environment = Dict().tag(config=True)


class DockerSpawner(Spawner):
    """A spawner with a section of its own in the configuration."""


def test_variables_reach_a_spawner_unless_it_has_a_section_of_its_own() -> None:
    """What the pages warn of, and the remedy that they name."""
    config = hub_config(block("docker.md", "hub"))
    assert "HUBCULL_URL" in DockerSpawner(config=config).environment
    config.DockerSpawner.environment = {"COLOUR": "blue"}
    assert "HUBCULL_URL" not in DockerSpawner(config=config).environment
    run(block("docker.md", "hub").replace("c.Spawner.", "c.DockerSpawner."), config)
    assert DockerSpawner(config=config).environment.keys() == {"COLOUR", "HUBCULL_URL"}


# The Littlest JupyterHub loads the operator's files by `load_subconfig`, sorted, after it has set `services`
# to its own culler's entry, or to nothing.
TLJH = """
from glob import glob
c = get_config()
c.JupyterHub.services = []
if {enabled}:
    c.JupyterHub.services.append({{"name": "cull-idle", "admin": True, "command": []}})
for each in sorted(glob({folder!r} + "/*.py")):
    load_subconfig(each)
"""


def littlest(folder: Path, *, enabled: bool) -> Config:
    """Return the configuration of a TLJH with what lies in a folder, its own culler on or off."""
    main = folder.parent / "jupyterhub_config.py"
    main.write_text(TLJH.format(enabled=enabled, folder=str(folder)))
    config: Config = PyFileConfigLoader(main.name, str(main.parent)).load_config()
    return config


@pytest.fixture
def snippets(tmp_path: Path) -> Path:
    """Return a folder as `jupyterhub_config.d`, with the page's file and another one in it."""
    folder = tmp_path / "jupyterhub_config.d"
    folder.mkdir()
    (folder / "hubcull.py").write_text(block("littlest.md", "hub"))
    (folder / "a.py").write_text("c.Spawner.environment = {'COLOUR': 'blue'}\n")
    return folder


def test_littlest_takes_the_file_beside_its_own_configuration(snippets: Path) -> None:
    """During the dry run both cullers are there; nothing that others configured is lost."""
    config = littlest(snippets, enabled=True)
    assert [service["name"] for service in config.JupyterHub.services] == ["cull-idle", "hubcull"]
    assert config.Spawner.environment.keys() == {"COLOUR", "HUBCULL_URL"}


def test_littlest_is_switched_over_by_the_pages_commands(snippets: Path) -> None:
    """The first command ends the dry run, the second leaves hubcull alone; the way back undoes both."""
    edit, disable, reload = block("littlest.md", "switch").splitlines()
    file = snippets / "hubcull.py"
    command = edit.removeprefix("sudo ").replace("/opt/tljh/config/jupyterhub_config.d", str(snippets))
    assert str(file) in command
    subprocess.run(["sh", "-c", command], check=True)  # noqa: S607
    config = littlest(snippets, enabled=False)
    (service,) = config.JupyterHub.services
    assert not settings(service, "127.0.0.1").limits.dry_run
    back = block("littlest.md", "go-back").splitlines()
    assert back == [
        "sudo rm /opt/tljh/config/jupyterhub_config.d/hubcull.py",
        disable.replace("false", "true"),
        reload,
    ]


def test_the_way_back_is_idle_cullers_entry() -> None:
    config = hub_config(block("one-machine.md", "idle-culler"))
    (service,), (role,) = config.JupyterHub.services, config.JupyterHub.load_roles
    assert service["command"][1:3] == ["-m", "jupyterhub_idle_culler"]
    assert role["services"] == [service["name"]]
    assert role["scopes"] == ["list:users", "read:users:activity", "read:servers", "delete:servers"]


def spawner(*groups: str) -> SimpleNamespace:
    """Return a spawner as a function among the variables gets it, of a user in these groups."""
    return SimpleNamespace(user=SimpleNamespace(groups=[SimpleNamespace(name=name) for name in groups]))


def test_a_pilot_is_one_group_on_both_sides() -> None:
    """In Python and on Kubernetes: only its servers get an address, and only they are seen."""
    scopes = ast.literal_eval(f"{{{block('README.md', 'pilot-scopes')}}}")["scopes"]
    values = yaml.safe_load(block("kubernetes.md", "pilot"))
    assert values["hub"]["loadRoles"]["hubcull"]["scopes"] == scopes
    grants_what_is_needed(scopes)
    (group,) = {scope.partition("!group=")[2] for scope in scopes}
    address = hub_config(block("one-machine.md", "hub")).Spawner.environment["HUBCULL_URL"]
    here = hub_config(block("README.md", "pilot-address")).Spawner.environment
    config = Config()
    config.KubeSpawner.environment = {}
    run(values["hub"]["extraConfig"]["hubcull-pilot"], config)
    for variables, expected in ((here, address), (config.KubeSpawner.environment, chart_address())):
        assert variables["HUBCULL_URL"](spawner("others", group)) == expected
        assert variables["HUBCULL_URL"](spawner("others")) == ""


def chart(name: str = "values") -> Any:
    """Return a block of values for the chart."""
    return yaml.safe_load(block("kubernetes.md", name))


def chart_address() -> str:
    """Return where servers on Kubernetes report."""
    return str(chart()["singleuser"]["extraEnv"]["HUBCULL_URL"])


def keys(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of all values, names that the operator chooses as `*`."""
    for name, value in values.items():
        chosen = path in {"hub.services", "hub.loadRoles", "hub.extraConfig", "singleuser.extraEnv"}
        here = f"{path}.{'*' if chosen else name}".lstrip(".")
        if isinstance(value, dict):
            yield from keys(value, here)
        else:
            yield here


def test_the_charts_values_are_known_ones() -> None:
    """A misspelt key would be refused by helm, or worse, mean nothing."""
    used = {key for name in ("values", "closed", "switch", "pilot") for key in keys(chart(name))}
    assert used == CHART_KEYS


def test_the_charts_service_is_found_by_hub_proxy_and_servers() -> None:
    """One port, opened at the Kubernetes service; the Hub's REST API is asked within the pod."""
    hub = chart()["hub"]
    service = hub["services"]["hubcull"]
    fits(service, chart_address(), "hub")
    assert urlsplit(settings(service, "hub").api_url).hostname == "localhost"
    assert hub["service"]["extraPorts"] == [{"name": "hubcull", "port": 10101, "targetPort": 10101}]
    assert hub["loadRoles"]["hubcull"]["services"] == ["hubcull"]
    grants_what_is_needed(hub["loadRoles"]["hubcull"]["scopes"])


def lets_through(rules: list[dict[str, Any]], side: str, labels: Mapping[str, str]) -> bool:
    """Tell whether a network policy's rules allow the service's port from, or to, a pod with these labels."""
    return any(
        {"port": urlsplit(chart_address()).port} in rule["ports"]
        and any(selector["podSelector"]["matchLabels"].items() <= labels.items() for selector in rule[side])
        for rule in rules
    )


@pytest.mark.parametrize("pod", PODS)
def test_the_chart_lets_every_pod_in_that_asks_the_service(pod: str) -> None:
    """The Hub's own pod among them, which lacks the label that the others have."""
    ingress = chart()["hub"]["networkPolicy"]["ingress"]
    assert lets_through(ingress, "from", PODS[pod])
    assert not lets_through(ingress, "from", {"app": "jupyterhub", "component": "image-puller"})


def test_the_chart_lets_every_pod_out_to_the_service() -> None:
    """Users' pods by the main block; Hub and proxy by the second, where private addresses are closed."""
    closed = chart("closed")
    for policy in (
        chart()["singleuser"]["networkPolicy"],
        closed["hub"]["networkPolicy"],
        closed["proxy"]["chp"]["networkPolicy"],
    ):
        assert lets_through(policy["egress"], "to", HUB)
        assert not lets_through(policy["egress"], "to", PODS["user"])


def test_the_pages_show_the_cycles_line_as_it_is() -> None:
    """Its fields, in their order."""
    now = Instant(datetime(2026, 1, 1, tzinfo=timezone.utc), 0.0)
    nothing = CycleReport(
        number=1,
        at=now,
        verdicts=(),
        plan=CullPlan(()),
        outcomes=(),
        reporting=2,
        without_extension=0,
        listed_now=True,
    )
    fields = [field.partition("=")[0] for field in summary(nothing).split()]
    for page in [*ADDRESSES, "kubernetes.md"]:
        (line,) = re.findall(r"^cycle=.*$", (ROOT / "docs/install" / page).read_text("utf-8"), re.MULTILINE)
        assert [field.partition("=")[0] for field in line.split()] == fields


def test_the_charts_own_culler_is_switched_off_and_on_by_one_value() -> None:
    assert chart("switch") == {"cull": {"enabled": False}}
    assert "--set cull.enabled=true" in block("kubernetes.md", "go-back")
