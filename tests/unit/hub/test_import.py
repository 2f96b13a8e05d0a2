"""`hubcull import-idle-culler`: the entry, the role and the words, from what runs idle-culler now."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from hubcull_hub import cli
from hubcull_hub.account import Account, account, length
from hubcull_hub.arguments import parse
from hubcull_hub.fitness import Features, judge, needs
from hubcull_hub.hub_answers import TokenOwner
from hubcull_hub.old_entry import EntryError, OldEntry, find, role_name, runs_idle_culler, scopes, split
from hubcull_hub.options import Hubcull

SERVERS = ["list:users", "read:servers", "delete:servers"]
README = ["list:users", "read:users:activity", "read:servers", "delete:servers"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Return what the command prints, with exit code 0."""
    assert cli.main(["import-idle-culler", *args]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Return what the command says on stderr, with exit code 1 and nothing on stdout."""
    assert cli.main(["import-idle-culler", *args]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


def applied(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run what was printed, as a part of jupyterhub_config.py, and return the entry and the role."""
    config = Config()
    config.JupyterHub.services = []
    config.JupyterHub.load_roles = []
    exec(compile(text, "printed", "exec"), {"c": config})  # noqa: S102 - that is what it is for
    (service,), (role,) = config.JupyterHub.services, config.JupyterHub.load_roles
    return service, role


def hub_file(tmp_path: Path, text: str) -> str:
    """Write a Hub's config file."""
    (tmp_path / "jupyterhub_config.py").write_text(text)
    return "jupyterhub_config.py"


ENTRY = """
import sys
print("printed by the operator's own file")
c.JupyterHub.services = [
    {{"name": "grader", "command": ["python3", "-m", "grader"]}},
    {{"name": "cull-idle", {keys} "command": [sys.executable, "-m", "jupyterhub_idle_culler", {options}]}},
]
c.JupyterHub.load_roles = {roles}
"""


def entry_file(tmp_path: Path, *options: str, keys: str = "", roles: object = ()) -> str:
    """Write a Hub's config file with an entry of idle-culler."""
    text = ENTRY.format(keys=keys, options=", ".join(map(repr, options)), roles=list(roles))  # type: ignore[call-overload]
    return hub_file(tmp_path, text)


def test_the_readmes_entry_becomes_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As idle-culler's README has it; what the operator's file prints is not in the way."""
    role = {"name": "culler", "services": ["cull-idle"], "scopes": README}
    service, new = applied(printed(capsys, entry_file(tmp_path, "--timeout=3600", roles=[role])))
    assert service == {
        "name": "cull-idle",
        "command": [sys.executable, "-m", "hubcull_hub", "--timeout=3600"],
    }
    assert new == {"name": "culler", "services": ["cull-idle"], "scopes": SERVERS}


def test_the_littlest_jupyterhubs_admin_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The role takes its place."""
    options = ("--timeout=600", "--cull-every=60", "--concurrency=5", "--max-age=0", "--cull-users")
    text = printed(capsys, entry_file(tmp_path, *options, keys='"admin": True,'))
    service, role = applied(text)
    assert "admin" not in service
    assert service["command"][3:] == [*options[:4], "--delete-idle-users"]
    assert role["scopes"] == [*SERVERS, "read:users:activity", "delete:users"]
    assert "Without admin: the role below" in text


@pytest.mark.parametrize(
    ("options", "features"),
    [
        ([], Features()),
        (["--cull-users"], Features(users=True)),
        (["--cull-users", "--max-age=60"], Features(users=True, users_by_age=True)),
        (["--cull-users", "--dry-run"], Features(dry_run=True, users=True)),
    ],
)
def test_the_role_is_what_the_service_asks_for(
    options: list[str], features: Features, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With it nothing is missing, and without any one of its scopes something is."""
    _, role = applied(printed(capsys, entry_file(tmp_path, *options)))
    held = set(role["scopes"])
    assert held == set(needs(features))
    assert judge("5.0.0", TokenOwner("service", "cull-idle", frozenset(held), None), features) == []
    for scope in held:
        less = TokenOwner("service", "cull-idle", frozenset(held - {scope}), None)
        assert [problem for problem in judge("5.0.0", less, features) if scope in problem.text]


def test_a_command_line_alone_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """No file is run then."""
    line = "/opt/tljh/hub/bin/python3 -m jupyterhub_idle_culler --timeout=600 --cull_users"
    service, role = applied(printed(capsys, "--command", line, "--service", "cull-idle"))
    assert service["name"] == "cull-idle"
    assert shlex.join(service["command"]) == (
        "/opt/tljh/hub/bin/python3 -m hubcull_hub --timeout=600 --delete-idle-users"
    )
    assert role["services"] == ["cull-idle"]
    service, _ = applied(printed(capsys, "--command=--timeout=600"))
    assert service == {"name": "hubcull", "command": [sys.executable, "-m", "hubcull_hub", "--timeout=600"]}


def test_idle_cullers_config_file_is_read_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named in the entry, by --config, or by its default name; what it says is in the words and the role."""
    (tmp_path / "mine.py").write_text("c.IdleCuller.timeout = 7200\nc.IdleCuller.cull_users = True\n")
    for args in (["--config", "mine.py"], [entry_file(tmp_path, "--config=mine.py")]):
        text = printed(capsys, *args)
        service, role = applied(text)
        assert service["command"][3:] == ["--config=mine.py"]
        assert "idle for 2 h" in text
        assert "DELETED" in text
        assert "delete:users" in role["scopes"]
    (tmp_path / "mine.py").rename(tmp_path / "idle_culler_config.py")
    text = printed(capsys, entry_file(tmp_path))
    assert applied(text)[0]["command"][3:] == []
    assert "idle for 2 h" in text


def test_other_keys_stay_and_secrets_are_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are named, so that they are not forgotten."""
    keys = '"api_token": "t0ps3cret", "user": "culler",'
    keys += ' "environment": {"JUPYTERHUB_REQUEST_TIMEOUT": "0", "DB_PASSWORD": "t0ps3cret"},'
    text = printed(capsys, entry_file(tmp_path, keys=keys))
    service, _ = applied(text)
    assert service["user"] == "culler"
    assert service["environment"] == {"JUPYTERHUB_REQUEST_TIMEOUT": "0"}
    assert "t0ps3cret" not in text
    assert '# "api_token": keep that of the present entry' in text
    assert '# "DB_PASSWORD": keep that of the present entry' in text
    assert "JUPYTERHUB_REQUEST_TIMEOUT=0 is an hour here" in text


@pytest.mark.parametrize("url", [True, False])
def test_the_lines_that_turn_reports_on_are_told_where_they_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], url: bool
) -> None:
    """By this service's name, below this Hub's prefix."""
    keys = '"url": "http://127.0.0.1:10101",' if url else ""
    file = entry_file(tmp_path, keys=keys)
    with (tmp_path / file).open("a") as config:
        config.write('c.JupyterHub.base_url = "/jhub"\n')
    told = "http://127.0.0.1:8000/jhub/services/cull-idle/" in printed(capsys, file)
    assert told is not url


def test_lists_that_were_only_added_to_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As by c.JupyterHub.services.append."""
    file = hub_file(
        tmp_path,
        "c.JupyterHub.services.append({'name': 'x', 'command': ['jupyterhub-idle-culler', '--timeout=4']})\n",
    )
    assert applied(printed(capsys, file))[0]["command"] == ["hubcull", "--timeout=4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "x = 1\n1/0\n",
            "can not be run: ZeroDivisionError: division by zero (line 2); run this where the Hub",
        ),
        ("x = (\n", "line 1"),
        ("c.JupyterHub.services = [{'name': 'a', 'url': 'http://x'}]\n", "(services there: a)"),
        ("", "(services there: none)"),
        (
            "c.JupyterHub.services = [{'name': n, 'command': ['jupyterhub-idle-culler']} for n in 'ab']\n",
            "more than one service in it runs idle-culler (a, b); choose by --service=NAME",
        ),
        (
            "c.JupyterHub.services = [{'name': 'a', 'command': ['jupyterhub-idle-culler', '--timeuot=5']}]\n",
            "unknown option --timeuot; did you mean --timeout?",
        ),
        (
            "c.JupyterHub.services = [{'command': ['sh', '-c', 'jupyterhub-idle-culler --url=$U']}]",
            "goes through a shell",
        ),
    ],
)
def test_errors_name_what_is_wrong_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    """With exit code 1, and nothing printed that could be pasted."""
    assert said in refused(capsys, hub_file(tmp_path, text))


def test_other_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing given, no such file, no such service, no idle-culler."""
    assert "name a jupyterhub_config.py" in refused(capsys)
    assert "'nowhere.py': there is no such file" in refused(capsys, "nowhere.py")
    assert "no service 'other'" in refused(capsys, entry_file(tmp_path), "--service=other")
    assert "does not start idle-culler" in refused(capsys, "--command", "sleep 5")
    assert "can not be taken apart" in refused(capsys, "--command", "a 'b")
    with pytest.raises(SystemExit) as end:
        cli.main(["import-idle-culler", "--nonsense"])
    assert end.value.code == 2


def test_nothing_is_changed_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even a database is made."""
    file = entry_file(tmp_path)
    before = (tmp_path / file).read_bytes()
    printed(capsys, file)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".pyc"] == [file]
    assert (tmp_path / file).read_bytes() == before


@pytest.mark.parametrize(
    ("command", "start"),
    [
        (["python3", "-m", "jupyterhub_idle_culler", "--x"], "python3 -m hubcull_hub"),
        (["python3", "-u", "-m", "jupyterhub_idle_culler", "--x"], "python3 -u -m hubcull_hub"),
        (["jupyterhub-idle-culler", "--x"], "hubcull"),
        (["/opt/bin/jupyterhub-idle-culler", "--x"], "/opt/bin/hubcull"),
        (["nice", "jupyterhub-idle-culler", "--x"], "nice hubcull"),
        (["cull_idle_servers.py", "--x"], "hubcull"),
        (["/usr/bin/python3.11", "/srv/cull_idle_servers.py", "--x"], "/usr/bin/python3.11 -m hubcull_hub"),
        (["sh", "-c", "exec jupyterhub-idle-culler --x"], "hubcull"),
    ],
)
def test_the_program_is_changed_by_one_word(command: list[str], start: str) -> None:
    """However it is started."""
    assert runs_idle_culler(command)
    parts = split(command)
    assert (shlex.join(parts.start), parts.options) == (start, ["--x"])


@pytest.mark.parametrize("command", [["python3", "-m", "hubcull_hub"], ["python3"], [], None, "sleep"])
def test_other_programs_are_left_alone(command: object) -> None:
    """A service may have no command at all."""
    assert not runs_idle_culler(command)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], SERVERS),
        (README, SERVERS),
        ([f"{scope}!group=g" for scope in README], [f"{scope}!group=g" for scope in SERVERS]),
        (["admin:users!group=g", "admin:servers!group=g"], [f"{scope}!group=g" for scope in SERVERS]),
        (
            ["list:users", "read:servers", "delete:servers!user=a", "delete:servers!user=b"],
            ["list:users", "read:servers", "delete:servers!user=a", "delete:servers!user=b"],
        ),
        (["delete:servers", "delete:servers!user=a"], SERVERS),
    ],
)
def test_a_filter_is_kept(held: list[str], expected: list[str]) -> None:
    """Nobody's servers are newly in reach because of the change."""
    assert scopes(SERVERS, held) == expected


def test_the_role_has_the_name_of_the_one_whose_place_it_takes() -> None:
    """Only if that is nobody else's: the Hub refuses a name that is there twice."""
    service = {"name": "cull-idle", "command": ["jupyterhub-idle-culler"]}
    own = {"name": "culler", "services": ["cull-idle"], "scopes": README}
    shared = {"name": "ops", "services": ["cull-idle", "grader"], "scopes": ["admin:users"]}
    assert role_name(find([service], [own], None)) == "culler"
    assert role_name(find([service], [shared], None)) == "cull-idle"
    assert role_name(OldEntry(service)) == "cull-idle"
    with pytest.raises(EntryError):
        find([], [own], None)


def told(**values: object) -> Account:
    """Return the account of some options, with a cycle each 10 min."""
    hook = values.pop("hook", False)
    return account(Hubcull(**values), 600, hook=bool(hook))


def test_the_times_in_words() -> None:
    """The window in which a stop happens."""
    first = told(timeout=3600).stopped[0]
    assert first == (
        "A server is stopped when it has been idle for 1 h. It is looked after every 10 min, so that happens"
        " between 1 h and 1 h 10 min after the last activity."
    )
    assert [length(s) for s in (0, 59, 60, 5400, 86_400, 180_061)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 30 min",
        "1 day",
        "2 days 2 h 1 min 1 s",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cull_named_servers": False}, "Named servers are never stopped."),
        ({"cull_default_servers": False}, "A named server is stopped when"),
        ({"cull_default_servers": False, "cull_named_servers": False}, "No server is stopped"),
        ({"max_age": 86_400}, "1 day old is stopped even while somebody uses it"),
        ({"remove_named_servers": True}, "also removed"),
        ({"concurrency": 0}, "without a bound"),
        ({"dry_run": True}, "It is a dry run"),
        ({"delete_idle_users": True}, "Users, admins among them, are DELETED"),
        ({"delete_idle_users": True, "cull_admin_users": False}, "Users, but no admins, are DELETED"),
        ({"delete_idle_users": True, "max_age": 60}, "or their record is 1 min old"),
    ],
)
def test_each_option_changes_the_words(options: dict[str, Any], said: str) -> None:
    """And is not in them without."""
    assert said in " ".join(told(**options).stopped)
    assert said not in " ".join(told().stopped)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_age": 60, "cull_named_servers": False}, "max_age spares servers of an excluded kind;"),
        ({"max_age": 60, "hook": True}, "max_age spares servers for which the hook says no;"),
        (
            {"max_age": 60, "delete_idle_users": True, "cull_admin_users": False, "hook": True},
            "max_age spares servers for which the hook says no and admins;",
        ),
        ({"hook": True}, "it has 10 s for an answer"),
        ({"delete_idle_users": True, "timeout": 60}, "who is therefore deleted 1 min after it"),
        ({"warm_up": 90}, "the first 1 min 30 s after its own start"),
    ],
)
def test_what_differs_is_told_where_it_matters(options: dict[str, Any], said: str) -> None:
    """D6 only with max_age and something that it spares here."""
    assert said in " ".join(told(**options).differs)
    assert said not in " ".join(told(max_age=60).differs)


def test_a_tab_and_a_silent_cell_are_told() -> None:
    """With the limits that hold."""
    text = " ".join(told(timeout=7200).with_reports)
    assert "for 3 days at most" in text
    assert re.search(r"visible, with nobody typing, keeps its server for 2 h", text)
    assert "without a limit" in " ".join(told(max_busy=0).with_reports)


def test_what_is_printed_is_understood_by_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every option of idle-culler, by its new name, with the value that it had."""
    options = (
        "--timeout=90",
        "--cull_every=30",
        "--max-age=1000000",
        "--cull-admin-users=0",
        "--logging=debug",
    )
    text = printed(capsys, entry_file(tmp_path, *options, "--log-to-stderr"))
    argv = applied(text)[0]["command"][3:]
    given = {each.name: (each.value, each.old) for each in parse(argv).given}
    assert given == {
        "timeout": (90, False),
        "cull_every": (30, False),
        "max_age": (1_000_000, False),
        "cull_admin_users": (False, False),
        "log_level": ("DEBUG", False),
    }
    assert "--logging is --log-level" in text
    assert "without effect here: --log-to-stderr" in " ".join(re.sub(r"\n# +", " ", text).split())
