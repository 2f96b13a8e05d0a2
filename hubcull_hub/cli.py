"""``hubcull serve``, ``hubcull plan``, ``hubcull explain``: the commands and their exit codes."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from hubcull_hub import __version__, ask

USAGE = """usage: hubcull COMMAND [OPTIONS]

  serve                     run the service (the same as: python -m hubcull_hub)
  plan                      what would be stopped now, and why not the others
  explain USER[/SERVER]     why one server is kept, held or stopped, and what was done before
  import-idle-culler FILE   what takes the place of jupyterhub-idle-culler: entry, role, and what will differ

hubcull COMMAND --help tells the options; hubcull --version the version.
"""

LOG_FORMAT = "[%(levelname).1s %(asctime)s hubcull] %(message)s"


def main(argv: Sequence[str] | None = None, default: str | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 not understood."""
    args = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str], Mapping[str, str]], int]] = {
        "serve": serve,
        "plan": plan,
        "explain": explain,
        "import-idle-culler": import_idle_culler,
    }
    if args and args[0] in commands:
        return commands[args[0]](args[1:], os.environ)
    if args == ["--version"]:
        return _print(__version__)
    if default is None and args in (["--help"], ["-h"]):
        return _print(USAGE)
    started_by_hub = "JUPYTERHUB_SERVICE_NAME" in os.environ  # its command may be "hubcull" and nothing else
    if default is not None or (args[0].startswith("-") if args else started_by_hub):
        return serve(args, os.environ)
    sys.stderr.write(USAGE)
    return 2


def serve(args: list[str], env: Mapping[str, str]) -> int:
    """Run the service until it is told to end.

    With options that can not be used it says so and returns 2. Only where the Hub started it, and checks its
    prefix, it answers there and stops nothing: exiting would take the Hub down (JupyterHub >= 5.2.1).
    """
    from hubcull_hub import config, dialect, service  # noqa: PLC0415 - plan and explain do without aiohttp
    from hubcull_hub.database import DatabaseError  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT, stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells every start of what it did not do
    try:
        settings = config.load(args, env)
        logging.getLogger().setLevel(settings.log_level)
        for note in settings.notes:
            logging.getLogger(__name__).info("%s", note)
        _leave_what_is_loaded_alone()
        asyncio.run(service.run(settings))
    except (dialect.ConfigError, DatabaseError, OSError) as error:
        return _can_not_run(str(error), args, env)
    except Exception as error:
        logging.getLogger(__name__).exception("the service failed")
        return _can_not_run(f"{type(error).__name__}: {error}", args, env)
    return 0


def _leave_what_is_loaded_alone() -> None:
    """Have Python look for cyclic garbage among what comes and goes, and not among its modules each time.

    Little that a report makes outlives it, but enough for such looks to take a fifth of its time; nothing of
    it is part of a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _can_not_run(error: str, args: list[str], env: Mapping[str, str]) -> int:
    """Say why the service can not run: by the exit code, or, to the Hub that started it, at its address."""
    from hubcull_hub import config, service  # noqa: PLC0415

    message = f"hubcull: {error}"
    bind = config.fallback_bind(args, env)
    if "JUPYTERHUB_SERVICE_NAME" not in env or bind is None:
        sys.stderr.write(f"{message}\nNothing is stopped.\n")
        return 2
    try:
        asyncio.run(service.run_broken(message, bind, config.fallback_certs(env)))
    except OSError as failure:
        sys.stderr.write(f"{message}\nhubcull: {failure}; nothing is stopped\n")
        return 1
    return 0


def _asking(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"hubcull {command}",
        description=description,
        epilog="The token is read from the environment: HUBCULL_TOKEN, or JUPYTERHUB_API_TOKEN.",
    )
    parser.add_argument(
        "--url", help="where the service is, such as https://hub.example/services/hubcull/ (or HUBCULL_URL)"
    )
    parser.add_argument("--json", action="store_true", help="print the service's answer as JSON")
    return parser


def plan(args: list[str], env: Mapping[str, str]) -> int:
    """Print what would be stopped now, and why not the others."""
    given = _asking("plan", "Print what would be stopped now, and why not the others.").parse_args(args)
    return _answer(env, given.url, {}, ask.plan_text, as_json=given.json)


def explain(args: list[str], env: Mapping[str, str]) -> int:
    """Print all that is known of one server."""
    parser = _asking("explain", "Print why one server is kept, held or stopped, and what was done before.")
    parser.add_argument("server", metavar="USER[/SERVER]")
    given = parser.parse_args(args)
    user, _, server = given.server.partition("/")
    query = {"user": user, "server": server}
    return _answer(env, given.url, query, ask.explain_text, as_json=given.json)


def import_idle_culler(args: list[str], _: Mapping[str, str]) -> int:
    """Print what takes the place of idle-culler, by what runs it now; nothing is changed on disk."""
    from hubcull_hub import dialect, importer, old_entry  # noqa: PLC0415 - plan and explain do without traitlets

    parser = argparse.ArgumentParser(prog="hubcull import-idle-culler", allow_abbrev=False)
    importer.add_arguments(parser)
    given = parser.parse_args(args)
    try:
        return _print(importer.run(given))
    except (dialect.ConfigError, old_entry.EntryError) as error:
        sys.stderr.write(f"hubcull: {error}\n")
        return 1


def _answer(
    env: Mapping[str, str],
    url: str | None,
    query: Mapping[str, str],
    text: Callable[[ask.Answer], str],
    *,
    as_json: bool,
) -> int:
    try:
        answer = ask.ask(url, query, env)
    except ask.AskError as error:
        sys.stderr.write(f"hubcull: {error}\n")
        return 1
    return _print(ask.json_text(answer) if as_json else text(answer))


def _print(text: str) -> int:
    sys.stdout.write(text.rstrip("\n") + "\n")
    return 0
