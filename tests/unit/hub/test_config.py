"""Options are understood or refused by name; nothing is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubcull_hub.config import fallback_bind, load
from hubcull_hub.dialect import ConfigError

ENV = {"JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api", "JUPYTERHUB_API_TOKEN": "secret-token"}
MANAGED = {
    **ENV,
    "JUPYTERHUB_SERVICE_NAME": "hubcull",
    "JUPYTERHUB_SERVICE_PREFIX": "/jhub/services/hubcull/",
    "JUPYTERHUB_SERVICE_URL": "http://hub:10101",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults() -> None:
    """Those of idle-culler where the name is the same; max_busy and silence_limit protect."""
    settings = load([], ENV)
    assert settings.policy.timeout == 600
    assert settings.cull_every == 300
    assert (settings.policy.max_age, settings.concurrency, settings.limits.stops) == (0, 10, 0)
    assert settings.policy.max_busy == 72 * 3600
    assert settings.bind == ("127.0.0.1", 10101)
    assert not settings.managed


@pytest.mark.parametrize("option", ["--cull-every=60", "--cull_every=60"])
def test_both_dialects_are_understood(option: str) -> None:
    """Dashes and underscores."""
    assert load([option], ENV).cull_every == 60


@pytest.mark.parametrize(("option", "expected"), [("--dry-run", True), ("--dry-run=false", False)])
def test_a_switch_stands_alone_or_takes_a_value(option: str, expected: bool) -> None:
    """Bare means true."""
    assert load([option], ENV).limits.dry_run is expected


def test_idle_cullers_switches_have_its_defaults() -> None:
    """Both kinds of servers are culled, none is removed, and no user is deleted."""
    settings = load([], ENV)
    assert (settings.policy.default_servers, settings.policy.named_servers) == (True, True)
    assert (settings.limits.remove_named_servers, settings.delete_idle_users) == (False, False)
    assert settings.cull_admin_users
    assert settings.hook is None
    assert settings.hub_certs is None


def test_the_kinds_of_servers_are_switched_one_by_one() -> None:
    """Each into the policy."""
    assert not load(["--cull-named-servers=false"], ENV).policy.named_servers
    assert not load(["--cull-default-servers=false"], ENV).policy.default_servers


def test_the_hook_is_a_config_files_only(tmp_path: Path) -> None:
    """A function can not be written on a command line; its name would be looked up who knows where."""
    with pytest.raises(ConfigError, match="cull_arbiter_hook is a function"):
        load(["--cull-arbiter-hook=os.getcwd"], ENV)
    (tmp_path / "hubcull_config.py").write_text("c.Hubcull.cull_arbiter_hook = lambda **_: True\n")
    hook = load([], ENV).hook
    assert hook is not None
    assert hook() is True
    (tmp_path / "hubcull_config.py").write_text("c.Hubcull.cull_arbiter_hook = 5\n")
    with pytest.raises(ConfigError, match="cull_arbiter_hook = 5"):
        load([], ENV)


def test_a_config_file_is_read_and_the_command_line_wins(tmp_path: Path) -> None:
    """The dynamic default of cull_every follows the timeout wherever that was set."""
    (tmp_path / "hubcull_config.py").write_text("c.Hubcull.timeout = 100\nc.Hubcull.max_age = 5000\n")
    settings = load(["--max-age=7000"], ENV)
    assert (settings.policy.timeout, settings.policy.max_age, settings.cull_every) == (100, 7000, 50)


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--timeuot=5"], "unknown option --timeuot; did you mean --timeout?"),
        (["--nonsense"], "unknown option --nonsense"),
        (["stray"], "unknown option stray"),
        (["--timeout=abc"], "timeout = 'abc' on the command line can not be used; give seconds, 1 or more"),
        (["--timeout=0"], "timeout = 0.0 in the options can not be used; give seconds, 1 or more"),
        (["--timeout=nan"], "timeout = "),
        (["--timeout=1e20"], "timeout = 1e+20"),
        (["--max-busy=1e12"], "max_busy = 1000000000000.0"),
        (["--cull-every=0.5"], "cull_every = 0.5"),
        (["--concurrency=99999999999999999999"], "concurrency = 99999999999999999999"),
        (["--url=http://127.0.0.1:notaport/hub/api"], "url = 'http://127.0.0.1:notaport/hub/api'"),
        (["--url=http://[::1/hub/api"], "url = 'http://[::1/hub/api'"),
        (["--url=hub:8081"], "url = 'hub:8081'"),
        (["--max-age=-1"], "max_age = -1.0"),
        (["--timeout"], "--timeout: expected one argument"),
        (["--dry-run=perhaps"], "dry_run = 'perhaps'"),
        (["--bind=nowhere"], "bind = 'nowhere' in the options can not be used; give ADDRESS:PORT"),
        (["--log-level=LOUD"], "log_level = 'LOUD'"),
        (["--config=missing.py"], "config = 'missing.py': there is no such file"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(argv: list[str], named: str) -> None:
    """Key, value and remedy."""
    with pytest.raises(ConfigError) as caught:
        load(argv, ENV)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "c.Hubcull.timeuot = 5",
            "c.Hubcull.timeuot in hubcull_config.py is not an option; did you mean timeout?",
        ),
        ("c.Hubcul.timeout = 5", "c.Hubcul in hubcull_config.py is not understood; did you mean Hubcull?"),
        ("c.Hubcull.timeout = 'long'", "timeout = 'long' in the options can not be used"),
        ("c.Hubcull.timeout = ", "can not be run: SyntaxError"),
        ("1/0", "can not be run: ZeroDivisionError"),
        ("exit()", "can not be run: SystemExit"),
    ],
)
def test_a_wrong_config_file_is_an_error_that_names_it(tmp_path: Path, text: str, named: str) -> None:
    """A broken file never means silent defaults."""
    (tmp_path / "hubcull_config.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load([], ENV)
    assert named in str(caught.value)


@pytest.mark.parametrize("missing", ["JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN"])
def test_what_the_environment_lacks_is_named(missing: str) -> None:
    """With the remedy."""
    with pytest.raises(ConfigError, match=missing):
        load([], {name: value for name, value in ENV.items() if name != missing})


def test_a_managed_service_listens_where_the_hub_was_told() -> None:
    """Unless a bind address of its own is given (a proxy in another pod)."""
    assert load([], MANAGED).bind == ("hub", 10101)
    assert load(["--bind=0.0.0.0:10101"], MANAGED).bind == ("0.0.0.0", 10101)  # noqa: S104 - the operator's wish
    assert load([], MANAGED).prefix == "/jhub/services/hubcull/"


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon", "abc"])
def test_there_is_always_a_time_limit(seconds: str) -> None:
    """Every call to the Hub ends."""
    with pytest.raises(ConfigError, match="JUPYTERHUB_REQUEST_TIMEOUT"):
        load([], {**ENV, "JUPYTERHUB_REQUEST_TIMEOUT": seconds})


@pytest.mark.parametrize(
    ("given", "limit", "said"),
    [("", 60, 0), ("60", 60, 0), ("1.5", 1.5, 0), ("0", 3600, 1), ("9000", 3600, 1)],
)
def test_no_request_waits_for_ever(given: str, limit: float, said: int) -> None:
    """In idle-culler 0 switched the limit off; here it is the longest one, and the log says so."""
    settings = load([], {**ENV, "JUPYTERHUB_REQUEST_TIMEOUT": given})
    assert settings.request_timeout == limit
    assert len(settings.notes) == said


def test_the_port_of_a_url_without_one_is_that_of_its_scheme() -> None:
    """As the Hub itself takes it."""
    assert load([], {**MANAGED, "JUPYTERHUB_SERVICE_URL": "http://hubcull"}).bind == ("hubcull", 80)


def test_a_managed_service_without_url_opens_no_port() -> None:
    """As idle-culler's entry; the Hub gives it an address all the same, which is nobody's."""
    env = {name: value for name, value in MANAGED.items() if name != "JUPYTERHUB_SERVICE_URL"}
    assert load([], env).bind is None
    del env["JUPYTERHUB_SERVICE_PREFIX"]
    env["JUPYTERHUB_SERVICE_URL"] = "http://127.0.0.1:0/"
    assert load([], env).bind is None
    assert fallback_bind([], env) is None
    assert load(["--bind=127.0.0.1:7"], env).bind == ("127.0.0.1", 7)


@pytest.mark.parametrize(
    "argv",
    [[], ["--timeuot=5"], ["--bind=junk"], ["--bind=192.0.2.1:10101"], ["--bind=no.such.host.invalid:1"]],
)
def test_broken_options_still_find_the_port_that_the_hub_checks(argv: list[str]) -> None:
    """Or the Hub would end with its service."""
    env = {**MANAGED, "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10101"}
    assert fallback_bind(argv, env) == ("127.0.0.1", 10101)


def test_the_token_is_not_shown() -> None:
    """Settings are logged at start."""
    assert "secret-token" not in repr(load([], ENV))


def test_a_database_url_is_not_shown_in_errors(tmp_path: Path) -> None:
    """It may hold a password."""
    (tmp_path / "hubcull_config.py").write_text("c.Hubcull.database_url = 5\n")
    with pytest.raises(ConfigError) as caught:
        load([], ENV)
    assert "(not shown)" in str(caught.value)
