"""Sections 1a and 1b of the checklist: every option, in both dialects, and what is made of a wrong one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from hubcull_hub import __version__
from tests.parity.cullers import IDLE_CULLER, Process, Scene, side_by_side, stop
from tests.parity.replay import Reply
from tests.parity.states import HOUR, LAST, Model, server, user

REMOVE = b'{"remove": true}'
LAST_NAMED = {"gpu": server()}


def kinds(last: dict[str, Model], *options: str) -> Scene:
    """Have a user with an idle server of each kind, and one with a busy one of each that is too old.

    The last user's one server is of the kind that is stopped.
    """
    (name,) = last
    final = {stop(LAST, name or None), stop(LAST, name or None, REMOVE)}
    old = server(started=20_000, idle=60)
    return Scene(
        users=lambda: [
            user("ada", {"": server(), "gpu": server()}),
            user("old", {"": old, "gpu": old}),
            user(LAST, last),
        ],
        options=("--timeout=3600", *options),
        last=False,
        until_theirs=lambda process: bool(final & set(process.hub.answered)),
    )


def only_named() -> Scene:
    """Leave default servers alone."""
    return kinds(LAST_NAMED, "--cull-default-servers=false", "--max-age=15000")


def only_default() -> Scene:
    """Leave named servers alone."""
    return kinds({"": server()}, "--cull-named-servers=false", "--max-age=15000")


def removing() -> Scene:
    """Remove the named servers that are stopped."""
    return kinds(LAST_NAMED, "--remove-named-servers=true")


@pytest.mark.parity("1a.cull_default_servers")
def test_default_servers_can_be_left_alone() -> None:
    pair = side_by_side(only_named)
    assert pair.same("ada") == [stop("ada", "gpu")]
    assert pair.same(LAST) == [stop(LAST, "gpu")]


@pytest.mark.parity("1a.cull_named_servers")
def test_named_servers_can_be_left_alone() -> None:
    pair = side_by_side(only_default)
    assert pair.same("ada") == [stop("ada")]
    assert pair.same(LAST) == [stop(LAST)]


@pytest.mark.parity("1d.7", differs="D6", reason="it does not override the switch of a kind")
def test_max_age_does_not_override_a_switch() -> None:
    """Theirs stops both of the old user's servers, by either switch."""
    both = [stop("old"), stop("old", "gpu")]
    assert side_by_side(only_named).differ("old") == (both, [stop("old", "gpu")])
    assert side_by_side(only_default).differ("old") == (both, [stop("old")])


@pytest.mark.parity("1a.remove_named_servers")
@pytest.mark.parity("1d.urls")
def test_named_servers_can_be_removed() -> None:
    """By a body, the same byte by byte; a default server has none."""
    pair = side_by_side(removing)
    assert pair.same("ada") == [stop("ada"), stop("ada", "gpu", REMOVE)]
    assert pair.same(LAST) == [stop(LAST, "gpu", REMOVE)]


@pytest.mark.parity("1c.7")
def test_stopped_named_servers_are_never_removed() -> None:
    """Neither asks the Hub for them."""
    for run in side_by_side(removing):
        assert any(each.path.startswith("/users?") for each in run.hub.requests)
        assert not any("include_stopped" in each.path for each in run.hub.requests)


def ended(process: Process) -> bool:
    """Wait until the process has ended by itself."""
    return process.popen.poll() is not None


def wrong(*options: str, until_theirs: Callable[[Process], bool] = ended) -> Scene:
    """Give an option that hubcull does not take."""
    return Scene(
        users=lambda: [user("ada", {"": server(idle=700)})],
        options=options,
        until_theirs=until_theirs,
        until_ours=ended,
    )


def last_stopped(process: Process) -> bool:
    """Wait until the last user's server is stopped."""
    return stop(LAST) in process.hub.answered


def misspelled() -> Scene:
    """Misspell the timeout, an hour."""
    return wrong("--timeuot=3600", until_theirs=last_stopped)


def broken_file() -> Scene:
    """Give a config file that can not be run."""
    text = "c.IdleCuller.timeout = 3600\nc.Hubcull.timeout = 3600\noops(\n"
    return replace(wrong("--config=culler.py", until_theirs=last_stopped), files={"culler.py": text})


def no_number() -> Scene:
    """Give a timeout that is no number."""
    return wrong("--timeout=an hour")


@pytest.mark.parity(
    "1b.unknown", differs="D10", reason="an error that suggests the right name; nothing is stopped"
)
def test_a_misspelled_option_is_an_error() -> None:
    """Theirs goes on with its default, and stops a server that is idle for twelve minutes."""
    pair = side_by_side(misspelled)
    assert pair.theirs.deletes == [stop("ada"), stop(LAST)]
    assert "Unrecognized alias: 'timeuot', it will have no effect" in pair.theirs.log
    assert (pair.ours.code, pair.ours.hub.requests) == (2, [])
    assert "did you mean --timeout?" in pair.ours.log


@pytest.mark.parity(
    "1b.broken_file", differs="D10", reason="an error that names the fault; nothing is stopped"
)
def test_a_broken_config_file_is_an_error() -> None:
    """Theirs goes on with its defaults, whatever the file was to protect."""
    pair = side_by_side(broken_file)
    assert pair.theirs.deletes == [stop("ada"), stop(LAST)]
    assert "Exception while loading config file" in pair.theirs.log
    assert (pair.ours.code, pair.ours.hub.requests) == (2, [])
    assert "culler.py" in pair.ours.log
    assert "SyntaxError" in pair.ours.log


@pytest.mark.parity("1b.bad_value")
def test_a_value_of_the_wrong_type_is_an_error() -> None:
    """Both end at once; only the exit code is another (1 and 2)."""
    pair = side_by_side(no_number)
    assert [run.hub.requests for run in pair] == [[], []]
    assert [run.code for run in pair] == [1, 2]
    assert "timeout" in pair.ours.log


def dialect_1(*options: str) -> Scene:
    """Give options in the dialect of idle-culler 1.x, on which 2.0.0 ends."""
    return Scene(
        users=lambda: [user("ada", {"": server(idle=60), "gpu": server()})],
        options=options,
        until_theirs=ended,
    )


def bare() -> Scene:
    """Give a switch without a value."""
    return dialect_1("--timeout=3600", "--remove-named-servers")


def underscores() -> Scene:
    """Write underscores."""
    return Scene(
        users=lambda: [user("ada", {"": server(idle=HOUR)})],
        options=("--timeout=7000", "--max_age=9000"),
    )


def spaces() -> Scene:
    """Part name and value by a space."""
    return Scene(
        users=lambda: [user("ada", {"": server(idle=HOUR)})],
        options=("--timeout", "7000", "--max-age", "9000"),
    )


@pytest.mark.parity("1b.bare", differs="L10", reason="taken for true, as 1.x did and 2.0 does no more")
def test_a_switch_needs_no_value() -> None:
    """2.0 ends with an error, which is what a newer version does to an old configuration."""
    pair = side_by_side(bare)
    assert (pair.theirs.code, pair.theirs.hub.requests) == (2, [])
    assert pair.ours.deletes == [stop("ada", "gpu", REMOVE), stop(LAST)]


@pytest.mark.parity("1b.underscores", differs="L10", reason="understood, as 1.x did and 2.0 does no more")
def test_names_may_have_underscores() -> None:
    """2.0 ignores the option, so that the old server in use stays."""
    pair = side_by_side(underscores)
    assert pair.differ("ada") == ([], [stop("ada")])
    assert "max_age" in pair.theirs.log


@pytest.mark.parity("1b.space")
def test_a_value_may_follow_a_space() -> None:
    assert side_by_side(spaces).same("ada") == [stop("ada")]


def zero() -> Scene:
    """Set the period to 0, which 1.x took for half of the timeout."""
    return Scene(every=0, options=("--timeout=3600",), until_theirs=ended)


@pytest.mark.parity(
    "1b.every_0", differs="L10", reason="half of the timeout, as 1.x did and 2.0 does no more"
)
def test_a_period_of_0_is_half_of_the_timeout() -> None:
    """2.0 ends with an error."""
    pair = side_by_side(zero)
    assert pair.theirs.code == 1
    assert "must have a positive callback_time" in pair.theirs.log
    assert pair.ours.deletes == [stop(LAST)]
    assert "cull_every=1800" in pair.ours.log


def helping() -> Scene:
    """Ask for help."""
    return Scene(options=("--help",), until_theirs=ended, until_ours=ended)


def helping_with_all() -> Scene:
    """Ask for all help that there is."""
    return Scene(options=("--help-all",), until_theirs=ended, until_ours=ended)


@pytest.mark.parity("1b.help")
@pytest.mark.parametrize("scene", [helping, helping_with_all])
def test_help_is_printed(scene: Callable[[], Scene]) -> None:
    """And nothing else is done."""
    pair = side_by_side(scene)
    assert [(run.code, run.hub.requests) for run in pair] == [(0, []), (0, [])]
    assert all("--timeout" in run.log for run in pair)


@pytest.mark.parity("1b.version", differs="L10", reason="its own, where 2.0 says 0.0")
def test_the_version_is_told() -> None:
    """Of the program, that is."""
    said = [
        subprocess.run(
            [python, "-m", module, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()
        for python, module in (
            (str(IDLE_CULLER / "bin" / "python"), "jupyterhub_idle_culler"),
            (sys.executable, "hubcull_hub"),
        )
    ]
    assert said == ["0.0", __version__]


def import_it(python: str, module: str) -> subprocess.CompletedProcess[str]:
    """Import `cull_idle` from a culler's package, and print the names of its arguments."""
    program = (
        f"import inspect; from {module} import cull_idle; print(*inspect.signature(cull_idle).parameters)"
    )
    command = [python, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parity(
    "1b.python", differs="L14", reason="not there; a program asks `/api/v1`, and what it decides is a hook"
)
def test_there_is_no_cycle_to_import() -> None:
    """What hangs on theirs fails at once with ours, at its import, and stops nothing by other rules."""
    theirs = import_it(str(IDLE_CULLER / "bin" / "python"), "jupyterhub_idle_culler")
    assert theirs.stdout.split()[:4] == ["url", "api_token", "inactive_limit", "logger"]
    ours = import_it(sys.executable, "hubcull_hub")
    assert ours.returncode == 1
    assert "cannot import name 'cull_idle' from 'hubcull_hub'" in ours.stderr


def half_of_the_timeout() -> Scene:
    """Give a timeout only, of four seconds."""
    return Scene(
        every=None,
        options=("--timeout=4",),
        until_theirs=lambda process: process.hub.count("GET", "/users?") == 3,
        until_ours=lambda process: "cycle=3 " in process.log,
    )


@pytest.mark.parity("1a.cull_every")
def test_the_period_is_half_of_the_timeout() -> None:
    """Two cycles after the first take four seconds; theirs lists in each, ours says when it was."""
    pair = side_by_side(half_of_the_timeout)
    lists = [seen.at for seen in pair.theirs.hub.times if seen.request.path.startswith("/users?")]
    assert lists[2] - lists[0] == pytest.approx(4, abs=1)
    cycles = re.findall(r"(\d\d),(\d{3}) hubcull\] cycle=", pair.ours.log)
    times = [int(seconds) + int(milliseconds) / 1000 for seconds, milliseconds in cycles]
    assert (times[2] - times[0]) % 60 == pytest.approx(4, abs=1)


IN_USE_FOR_THEM = "c.IdleCuller.timeout = 7000\nc.IdleCuller.max_age = 9000\n"
"""A file under which a server of three hours, idle for one, is stopped for its age."""


def with_file(name: str, *options: str) -> Scene:
    """Have a file of idle-culler's."""
    return Scene(
        users=lambda: [
            user("ada", {"": server(idle=HOUR)}),
            user("bob", {"": server(idle=HOUR, started=HOUR)}),
        ],
        options=options,
        files={name: IN_USE_FOR_THEM},
    )


def default_file() -> Scene:
    """Give it the name that is looked for."""
    return with_file("idle_culler_config.py")


def named_file() -> Scene:
    """Give it a name of its own."""
    return with_file("culler.py", "--config=culler.py")


def file_and_option() -> Scene:
    """Contradict it on the command line."""
    return with_file("idle_culler_config.py", "--max-age=0")


@pytest.mark.parity("1a.config")
def test_a_file_of_idle_cullers_is_understood() -> None:
    """In the working directory, or where `--config` says."""
    for scene in (default_file, named_file):
        pair = side_by_side(scene)
        assert pair.same("ada") == [stop("ada")]
        assert pair.same("bob") == []
        assert "c.Hubcull." in pair.ours.log  # the new name is told


@pytest.mark.parity("1a.config")
def test_the_command_line_wins() -> None:
    pair = side_by_side(file_and_option)
    assert pair.same("ada") == []
    assert pair.same(LAST) == [stop(LAST)]


def missing_file() -> Scene:
    """Name a file that is not there."""
    return wrong("--config=no-such-file.py", until_theirs=last_stopped)


@pytest.mark.parity("1b.missing_file", differs="D10", reason="an error: a file that was named must be there")
def test_a_named_file_must_be_there() -> None:
    """Theirs goes on with its defaults."""
    pair = side_by_side(missing_file)
    assert pair.theirs.deletes == [stop("ada"), stop(LAST)]
    assert (pair.ours.code, pair.ours.hub.requests) == (2, [])
    assert "there is no such file" in pair.ours.log


def generating() -> Scene:
    """Ask for a config file."""
    return Scene(every=None, options=("--generate-config",), until_theirs=ended, until_ours=ended)


@pytest.mark.parity("1a.generate_config")
def test_a_config_file_is_printed() -> None:
    """With every option in it, under the name of today, and nothing else is done."""
    pair = side_by_side(generating)
    assert [(run.code, run.hub.requests) for run in pair] == [(0, []), (0, [])]
    assert "# c.IdleCuller.timeout = 600" in pair.theirs.log
    assert re.search(r"# ?c.Hubcull.timeout = 600", pair.ours.log)


def by_class() -> Scene:
    """Name an option with its class."""
    return Scene(
        users=lambda: [user("ada", {"": server(idle=HOUR)})],
        options=("--IdleCuller.timeout=7000", "--IdleCuller.max_age=9000"),
    )


@pytest.mark.parity("1a.class")
def test_an_option_may_be_named_with_its_class() -> None:
    assert side_by_side(by_class).same("ada") == [stop("ada")]


def logging_1() -> Scene:
    """Set the log's level as 1.x did."""
    return Scene(options=("--timeout=3600", "--logging=debug"))


@pytest.mark.parity("1b.logging", differs="L10", reason="understood, as 1.x did and 2.0 does no more")
def test_the_level_of_the_log_as_1_x_had_it() -> None:
    """2.0 warns and goes on."""
    pair = side_by_side(logging_1)
    assert pair.same(LAST) == [stop(LAST)]
    assert "Unrecognized alias: 'logging'" in pair.theirs.log
    assert "unknown option" not in pair.ours.log


def quietly() -> Scene:
    """Have errors only in the log."""
    return Scene(
        options=("--timeout=3600",),
        level=("--Application.log_level=ERROR",),
        until_theirs=stopped_the_last,
        until_ours=stopped_the_last,
    )


def stopped_the_last(process: Process) -> bool:
    """Tell whether the last user's server was stopped, by the Hub, for the log may be silent."""
    return stop(LAST) in process.hub.answered


@pytest.mark.parity("1a.log_level")
def test_the_level_of_the_log() -> None:
    """Neither says what it does, and does the same."""
    pair = side_by_side(quietly)
    assert pair.same(LAST) == [stop(LAST)]
    assert [run.log for run in pair] == ["", ""]


def logging_by_alias() -> Scene:
    """Set the log's level by the name that traitlets' applications have for it."""
    return Scene(options=("--timeout=3600",), level=("--log-level=DEBUG",), until_theirs=ended)


@pytest.mark.parity("1a.log_level", differs="L10", reason="`--log-level` is understood, too")
def test_the_level_of_the_log_by_its_short_name() -> None:
    """2.0 lost it where it gave its options names of their own."""
    pair = side_by_side(logging_by_alias)
    assert (pair.theirs.code, pair.theirs.hub.requests) == (2, [])
    assert pair.ours.deletes == [stop(LAST)]


def no_limit() -> Scene:
    """Switch the time limit of a request off, and let the first answer take three seconds."""
    return Scene(
        options=("--timeout=3600",),
        env={"JUPYTERHUB_REQUEST_TIMEOUT": "0"},
        hub={"script": {"GET /": Reply(after=3.0)}},
    )


@pytest.mark.parity(
    "1a.request_timeout", differs="L13", reason="0 is the longest limit that there is, not none"
)
def test_a_time_limit_of_0_does_not_end_the_work() -> None:
    """An answer that takes three seconds is waited for by both."""
    pair = side_by_side(no_limit)
    assert pair.same(LAST) == [stop(LAST)]
