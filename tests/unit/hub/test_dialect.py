"""What was written for jupyterhub-idle-culler is understood, in both of its dialects, or refused."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from hubcull_hub import cli
from hubcull_hub.arguments import generated, parse
from hubcull_hub.config import Settings, fallback_bind, load
from hubcull_hub.dialect import ConfigError, traits

ENV = {"JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api", "JUPYTERHUB_API_TOKEN": "secret-token"}
MANAGED = {**ENV, "JUPYTERHUB_SERVICE_NAME": "cull-idle", "JUPYTERHUB_BASE_URL": "/jhub/"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def idle_culler_options(settings: Settings) -> dict[str, object]:
    """Return what idle-culler has a name for."""
    return {
        "timeout": settings.policy.timeout,
        "cull_every": settings.cull_every,
        "max_age": settings.policy.max_age,
        "concurrency": settings.concurrency,
        "cull_users": settings.delete_idle_users,
        "cull_admin_users": settings.cull_admin_users,
        "remove_named_servers": settings.limits.remove_named_servers,
        "url": settings.api_url,
    }


DEFAULTS = {
    "timeout": 600,
    "cull_every": 300,
    "max_age": 0,
    "concurrency": 10,
    "cull_users": False,
    "cull_admin_users": True,
    "remove_named_servers": False,
    "url": ENV["JUPYTERHUB_API_URL"],
}


def zero_to_jupyterhub() -> list[tuple[list[str], dict[str, Any]]]:
    """Return every command line that the chart's hub image can build (8 values of `cull`), and its meaning.

    As in jupyterhub/zero-to-jupyterhub-k8s at 48ea50e3, jupyterhub/files/hub/jupyterhub_config.py.
    """
    cases = []
    for timeout, every, concurrency, users, admins, remove, age in product(
        (None, 3600), (None, 600), (None, 25), (False, True), (False, True), (False, True), (None, 86400)
    ):
        argv = ["--url=http://localhost:8081/jhub/hub/api"]
        argv += [f"--timeout={timeout}"] * (timeout is not None)
        argv += [f"--cull-every={every}"] * (every is not None)
        argv += [f"--concurrency={concurrency}"] * (concurrency is not None)
        argv += ["--cull-users"] * users
        argv += ["--cull-admin-users=false"] * (not admins)
        argv += ["--remove-named-servers"] * remove
        argv += [f"--max-age={age}"] * (age is not None)
        means = {
            "timeout": timeout or 600,
            "cull_every": every or (timeout or 600) // 2,
            "max_age": age or 0,
            "concurrency": concurrency or 10,
            "cull_users": users,
            "cull_admin_users": admins,
            "remove_named_servers": remove,
            "url": "http://localhost:8081/jhub/hub/api",
        }
        cases.append((argv, means))
    return cases


def the_littlest_jupyterhub() -> list[tuple[list[str], dict[str, Any]]]:
    """Return the command lines of `services.cull`, and their meaning.

    As in jupyterhub/the-littlest-jupyterhub at 84ed38f, tljh/configurer.py: four numbers, two switches.
    """
    cases = []
    for timeout, every, concurrency, age, users, remove in product(
        (600, 7200), (60, 0), (5, 0), (0, 60), (False, True), (False, True)
    ):
        argv = [f"--timeout={timeout}", f"--cull-every={every}", f"--concurrency={concurrency}"]
        argv += [f"--max-age={age}", *["--cull-users"] * users, *["--remove-named-servers"] * remove]
        means = {
            **DEFAULTS,
            "timeout": timeout,
            "cull_every": every or timeout // 2,
            "max_age": age,
            "concurrency": concurrency,
            "cull_users": users,
            "remove_named_servers": remove,
        }
        cases.append((argv, means))
    return cases


@pytest.mark.parametrize("cases", [zero_to_jupyterhub, the_littlest_jupyterhub])
@pytest.mark.parity("1b.distributions")
def test_the_command_lines_of_the_distributions_run_verbatim(cases: Any) -> None:
    """Every combination that they can build, 128 and 64."""
    lines = cases()
    assert len({" ".join(argv) for argv, _ in lines}) == len(lines) in {128, 64}
    for argv, means in lines:
        assert idle_culler_options(load(argv, MANAGED)) == means, argv


@pytest.mark.parametrize(
    ("argv", "changed"),
    [
        ([], {}),
        (["--timeout", "42"], {"timeout": 42, "cull_every": 21}),
        (["-timeout=42"], {"timeout": 42, "cull_every": 21}),
        (["--cull_every=60", "--max_age=90"], {"cull_every": 60, "max_age": 90}),
        (["--cull-every=0"], {}),
        (["--cull-users"], {"cull_users": True}),
        (["--cull_users"], {"cull_users": True}),
        (["--cull-users=true"], {"cull_users": True}),
        (["--cull-users", "True"], {"cull_users": True}),
        (["--cull_users=1", "--cull-admin-users=f"], {"cull_users": True, "cull_admin_users": False}),
        (["--cull-users=false"], {}),
        (["--cull-users", "--remove-named-servers"], {"cull_users": True, "remove_named_servers": True}),
        (["--IdleCuller.timeout=60"], {"timeout": 60, "cull_every": 30}),
        (["--IdleCuller.timeout", "60"], {"timeout": 60, "cull_every": 30}),
        (["--IdleCuller.cull_users=True"], {"cull_users": True}),
        (["--Hubcull.timeout=60"], {"timeout": 60, "cull_every": 30}),
        (["--Hubcull.delete_idle_users=true"], {"cull_users": True}),
        (["--url=https://hub:8081/hub/api"], {"url": "https://hub:8081/hub/api"}),
    ],
)
def test_both_dialects(argv: list[str], changed: dict[str, object]) -> None:
    """1.x by tornado, 2.x by traitlets."""
    assert idle_culler_options(load(argv, ENV)) == {**DEFAULTS, **changed}


@pytest.mark.parametrize(
    ("argv", "level"),
    [
        (["--logging=debug"], "DEBUG"),
        (["--logging=none"], "ERROR"),
        (["--log-level=warning"], "WARNING"),
        (["--Application.log_level=DEBUG"], "DEBUG"),
        (["--IdleCuller.log_level=30"], "WARNING"),
    ],
)
def test_the_level_of_the_log_in_every_dialect(argv: list[str], level: str) -> None:
    """Numbers, and any case."""
    assert load(argv, ENV).log_level == level


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--timeout=5", "--cull_every=3", "--Hubcull.max_age=1"], None),
        (["--cull-users"], "names here: --cull-users is --delete-idle-users"),
        (["--logging=debug"], "names here: --logging is --log-level"),
        (
            ["--cull_users", "--IdleCuller.timeout=5"],
            "--cull-users is --delete-idle-users; --IdleCuller.timeout is --timeout",
        ),
        (["--log-to-stderr"], "without effect here: --log-to-stderr (the log goes to stderr)"),
    ],
)
def test_new_names_are_said_once(argv: list[str], said: str | None) -> None:
    """In one line, and only where an old one was used."""
    notes = load(argv, ENV).notes
    assert len(notes) == (said is not None)
    assert said is None or said in notes[0]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--cull-user"], "unknown option --cull-user; did you mean --delete-idle-users? (--cull-users in"),
        (["--cul-every=5"], "unknown option --cul-every; did you mean --cull-every?"),
        (["--remove-named-server"], "did you mean --remove-named-servers?"),
        (["--IdleCuller.timeuot=5"], "unknown option --IdleCuller.timeuot; did you mean --timeout?"),
        (["--generate-confg"], "did you mean --generate-config?"),
        (["-x"], "unknown option -x"),
        (["--", "--timeout=5"], "unknown option"),
        (["--cull-users=perhaps"], "--cull-users, now delete_idle_users = 'perhaps' on the command line"),
        (
            ["--cull-users", "--delete-idle-users=false"],
            "--cull-users = True and --delete-idle-users = False on the command line are the same option",
        ),
        (["--cull-arbiter-hook=os.getcwd"], "cull_arbiter_hook is a function, which a command line can not"),
        (
            ["--IdleCuller.cull_arbiter_hook=os.getcwd"],
            "c.Hubcull.cull_arbiter_hook = ... into a config file",
        ),
        (["--timeout=0"], "timeout = 0.0"),
    ],
)
def test_what_is_not_understood_is_an_error_that_suggests_the_right_name(argv: list[str], named: str) -> None:
    """Where idle-culler 2.0.0 goes on with its defaults."""
    with pytest.raises(ConfigError) as caught:
        load(argv, ENV)
    assert named in str(caught.value)


IDLE_CULLER_FILE = """
c = get_config()
c.Application.log_level = 10
c.IdleCuller.timeout = 100
c.IdleCuller.cull_users = True
c.IdleCuller.url = None

def arbiter(inactive, inactive_limit, server):
    return False

c.IdleCuller.cull_arbiter_hook = arbiter
c.IdleCuller.concurrency  # only looked at
c.JupyterHub
"""


def test_an_existing_file_is_read_by_its_own_name(tmp_path: Path) -> None:
    """With its hook, and each new name in one line of the log."""
    (tmp_path / "idle_culler_config.py").write_text(IDLE_CULLER_FILE)
    settings = load([], ENV)
    changed = {"timeout": 100, "cull_every": 50, "cull_users": True}
    assert idle_culler_options(settings) == {**DEFAULTS, **changed}
    assert settings.log_level == "DEBUG"
    assert settings.hook is not None
    assert settings.hook(None, 100, {}) is False
    (note,) = settings.notes
    assert "c.IdleCuller.timeout is c.Hubcull.timeout" in note
    assert "c.IdleCuller.cull_users is c.Hubcull.delete_idle_users" in note


@pytest.mark.parametrize("name", ["mine.py", "sub/idle_culler_config.py"])
def test_an_existing_file_is_read_where_it_was_named(tmp_path: Path, name: str) -> None:
    """With or without its ending, as before."""
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text("c.IdleCuller.timeout = 100\n")
    for given in (name, str(tmp_path / name), name.removesuffix(".py")):
        assert load([f"--config={given}"], ENV).policy.timeout == 100
    assert load([f"--IdleCuller.config_file={name}"], ENV).policy.timeout == 100


def test_a_json_file_is_read_too(tmp_path: Path) -> None:
    """As traitlets has it."""
    (tmp_path / "idle_culler_config.json").write_text('{"IdleCuller": {"timeout": 100}}')
    assert load([], ENV).policy.timeout == 100


def test_our_own_file_comes_first_and_the_other_is_named(tmp_path: Path) -> None:
    """Two files with the same options are a trap."""
    (tmp_path / "hubcull_config.py").write_text("c.Hubcull.timeout = 100\n")
    (tmp_path / "idle_culler_config.py").write_text("c.IdleCuller.timeout = 5\n")
    settings = load([], ENV)
    assert settings.policy.timeout == 100
    assert settings.notes == ("idle_culler_config.py is not read, because hubcull_config.py is there",)


def test_a_part_of_a_file_is_read_by_load_subconfig(tmp_path: Path) -> None:
    """And must be there, unlike with traitlets."""
    (tmp_path / "part.py").write_text("c.IdleCuller.timeout = 100\n")
    (tmp_path / "hubcull_config.py").write_text("load_subconfig('part.py')\n")
    assert load([], ENV).policy.timeout == 100
    (tmp_path / "part.py").unlink()
    with pytest.raises(ConfigError, match=r"part\.py"):
        load([], ENV)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (
            "c.IdleCuller.timeout = 5\nc.Hubcull.timeout = 6",
            "c.IdleCuller.timeout = 5 and c.Hubcull.timeout = 6 in hubcull_config.py are the same option",
        ),
        ("c.IdleCuller.cull_users = True\nc.IdleCuller.delete_idle_users = False", "are the same option"),
        ("c.IdleCuller.cull_user = True", "did you mean delete_idle_users? (cull_users in"),
        ("c.IdleCuler.timeout = 5", "c.IdleCuler in hubcull_config.py is not understood; did you mean"),
        ("c.Application.timeout = 5", "c.Application.timeout in hubcull_config.py is not an option"),
        ("c.IdleCuller.timeout = 'x'", "c.IdleCuller.timeout, now timeout = 'x' in the options"),
        ("c.IdleCuller.timeout.append(5)", "can not be added to; set it by c.IdleCuller.timeout = ..."),
        ("c.JupyterHub.ip = ''", "c.JupyterHub in hubcull_config.py is not understood"),
        ("c.IdleCuller = 5", "can not be run"),
    ],
)
def test_what_a_file_says_wrong_is_an_error(tmp_path: Path, text: str, named: str) -> None:
    """Never a silent default."""
    (tmp_path / "hubcull_config.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load([], ENV)
    assert named in str(caught.value)


def test_the_same_value_by_two_names_is_no_error_and_the_command_line_wins(tmp_path: Path) -> None:
    """Whatever the names."""
    (tmp_path / "hubcull_config.py").write_text("c.IdleCuller.timeout = 5\nc.Hubcull.timeout = 5\n")
    assert load([], ENV).policy.timeout == 5
    assert load(["--IdleCuller.timeout=7"], ENV).policy.timeout == 7


def test_the_generated_file_can_be_uncommented(tmp_path: Path) -> None:
    """Every option is in it, and with all of them it loads, to the defaults."""
    text = generated()
    assert re.findall(r"^# c\.Hubcull\.(\w+) =", text, re.MULTILINE) == sorted(traits())
    (tmp_path / "hubcull_config.py").write_text(text)
    untouched = load([], ENV)
    (tmp_path / "hubcull_config.py").write_text(re.sub(r"^# c\.", "c.", text, flags=re.MULTILINE))
    assert load([], ENV) == untouched
    (tmp_path / "hubcull_config.py").unlink()
    assert load([], ENV) == untouched


@pytest.mark.parametrize(
    ("option", "printed"),
    [
        ("--help", "--timeout VALUE"),
        ("--help-all", "--delete-idle-users [VALUE]"),
        ("-h", "--generate-config"),
        ("--version", "0."),
        ("--generate-config", "# c.Hubcull.timeout = 600"),
    ],
)
def test_what_prints_and_ends(option: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 0, with no token needed, and old spellings are not in the way."""
    try:
        code: object = cli.main([option], default="serve")
    except SystemExit as end:
        code = end.code
    assert not code
    out = capsys.readouterr().out
    assert printed in out
    assert "--IdleCuller.timeout" not in out


def test_a_service_without_url_is_told_how_to_turn_reports_on() -> None:
    """By its own name, below the Hub's own prefix; nobody else is told."""
    (note,) = load([], MANAGED).notes
    assert '"url": "http://127.0.0.1:10101"' in note
    assert "http://127.0.0.1:8000/jhub/services/cull-idle/" in note
    assert "pip install 'hubcull[server-ext]'" in note
    assert load([], ENV).notes == ()
    with_url = {
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:10101",
        "JUPYTERHUB_SERVICE_PREFIX": "/services/x/",
    }
    assert load([], {**MANAGED, **with_url}).notes == ()
    (note,) = load([], {**MANAGED, "JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example/jhub/hub/"}).notes
    assert '"https://hub.example/jhub/services/cull-idle/"' in note


@pytest.mark.parametrize(
    "bind", [["--bind=0.0.0.0:7"], ["--bind", "0.0.0.0:7"], ["--Hubcull.bind=0.0.0.0:7"]]
)
def test_the_address_of_a_broken_service_is_found_in_every_spelling(bind: list[str]) -> None:
    """So that the Hub's check finds it."""
    assert fallback_bind([*bind, "--timeuot=5"], MANAGED) == ("0.0.0.0", 7)  # noqa: S104 - the operator's wish


def hook(**_: object) -> bool:
    """Stand for an operator's own function."""
    return True


def test_what_is_logged_of_the_settings(tmp_path: Path) -> None:
    """What matters, and no secret."""
    (tmp_path / "mine.py").write_text(
        "from tests.unit.hub.test_dialect import hook\nc.Hubcull.cull_arbiter_hook = hook\n"
    )
    argv = ["--config=mine.py", "--cull-users", "--cull-named-servers=false", "--remove-named-servers"]
    argv += ["--url=http://me:word@hub:8081/hub/api", "--database-url=postgresql://me:pass@db/x"]
    shown = repr(load(argv, ENV))
    for part in (
        "delete_idle_users=True",
        "cull_admin_users=True",
        "named_servers=False",
        "remove_named_servers=True",
        "hook=hook",
        "api_url='http://hub:8081/hub/api'",
    ):
        assert part in shown
    for secret in ("word", "pass", "secret-token"):
        assert secret not in shown


def test_nothing_is_read_twice() -> None:
    """Of one spelling the last one counts, as ever."""
    assert [given.value for given in parse(["--timeout=5", "--timeout=6"]).given] == [5, 6]
    assert load(["--timeout=5", "--timeout=6"], ENV).policy.timeout == 6


@pytest.mark.parametrize("argv", [[], ["--timeout=60"], ["-timeout=60"], ["serve", "--timeout=60"]])
def test_the_console_command_takes_the_place_of_idle_cullers(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`jupyterhub-idle-culler` in an entry's command is changed into `hubcull`, with or without options."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_NAME", "cull-idle")
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    monkeypatch.setenv("JUPYTERHUB_API_URL", ENV["JUPYTERHUB_API_URL"])
    assert cli.main(argv) == 2
    assert "JUPYTERHUB_API_TOKEN" in capsys.readouterr().err  # it began to serve, and that is what it lacks


def test_the_console_command_alone_tells_its_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a terminal."""
    monkeypatch.delenv("JUPYTERHUB_SERVICE_NAME", raising=False)
    assert cli.main([]) == 2
    assert "usage: hubcull" in capsys.readouterr().err
