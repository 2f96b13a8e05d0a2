"""The options of the service, one trait each: unit, default, range and reason. `config` reads them."""

from __future__ import annotations

from traitlets import Bool, Callable, Enum, Float, Int, Unicode
from traitlets.config import Configurable

LONGEST = 10 * 365 * 86_400.0
"""Seconds, ten years: beyond that a duration is a slip of the keyboard; 0 says "never" where there is one."""


class Hubcull(Configurable):
    """The options of the service. Durations are seconds."""

    timeout = Float(600, min=1, max=LONGEST, help="Seconds of idleness after which a server is stopped.").tag(
        config=True, expected="seconds, 1 or more"
    )
    cull_every = Float(
        0,
        min=0,
        max=LONGEST,
        help="Seconds between two cycles, in which idle servers are stopped; 0 means half of the timeout.",
    ).tag(config=True, expected="seconds, 1 or more, or 0 for half of the timeout")
    max_age = Float(
        0,
        min=0,
        max=LONGEST,
        help="Seconds after its start at which a server is stopped even if it is in use; 0 means never.",
    ).tag(config=True, expected="seconds, or 0 for never")
    max_busy = Float(
        72 * 3600,
        min=0,
        max=LONGEST,
        help="Seconds for which one piece of work (a cell, a job in a terminal) keeps its server at most;"
        " 0 means for ever. 72 h lets a run over a weekend finish.",
    ).tag(config=True, expected="seconds, or 0 for no limit")
    silence_limit = Float(
        24 * 3600,
        min=0,
        max=LONGEST,
        help="Seconds for which a server that stopped reporting is held; then last_activity decides."
        " Only time in which reports of other servers arrived is counted.",
    ).tag(config=True, expected="seconds, 0 or more")
    visible_tab_grace = Float(
        3600,
        min=0,
        max=LONGEST,
        help="Seconds for which a visible browser tab, without any other activity, keeps its server;"
        " 0 means that a visible tab counts for nothing.",
    ).tag(config=True, expected="seconds, or 0 for off")
    warm_up = Float(
        660,
        min=0,
        max=LONGEST,
        help="Seconds for which the service, the Hub and the server must have been up before a server that"
        " does not report is judged by the Hub's last_activity. More than two of the longest report"
        " intervals (300 s), so that nobody who is about to report is taken for one that can not.",
    ).tag(config=True, expected="seconds, 0 or more")
    concurrency = Int(
        10, min=0, max=1000, help="How many servers are being stopped at once; 0 means no bound."
    ).tag(config=True, expected="a whole number, 0 or more")
    stops_per_cycle = Int(
        0,
        min=0,
        max=1_000_000,
        help="How many stops one cycle may begin at most, and how many deletions of users; 0 means no limit."
        " The rest waits.",
    ).tag(config=True, expected="a whole number, 0 or more")
    cull_default_servers = Bool(True, help="Cull default servers; max_age does not override a false.").tag(
        config=True, expected="true or false"
    )
    cull_named_servers = Bool(True, help="Cull named servers; max_age does not override a false.").tag(
        config=True, expected="true or false"
    )
    remove_named_servers = Bool(
        False,
        help="Remove a named server when it is culled, instead of only stopping it: its name and options are"
        " forgotten.",
    ).tag(config=True, expected="true or false")
    delete_idle_users = Bool(
        False,
        help="Delete the records of users who have been inactive for timeout, or whose records are older"
        " than max_age, once all their servers are stopped. It deletes users, not servers.",
    ).tag(config=True, expected="true or false")
    cull_admin_users = Bool(
        True, help="Whether delete_idle_users may delete admins; max_age does not override a false."
    ).tag(config=True, expected="true or false")
    cull_arbiter_hook = Callable(
        None,
        allow_none=True,
        help="A function that decides instead of the timeout, in a config file only.",
    ).tag(config=True, expected="a function, in a config file")
    hook_timeout = Float(
        10,
        min=0.1,
        max=3600,
        help="Seconds for one answer of cull_arbiter_hook; without one in time the server is kept.",
    ).tag(config=True, expected="seconds, 0.1 to 3600")
    dry_run = Bool(False, help="Do everything but the last call, and say what would be stopped.").tag(
        config=True, expected="true or false"
    )
    api_page_size = Int(
        200,
        min=0,
        max=1_000_000,
        help="How many users to list in one request to the Hub; 0 means the Hub's own default. Large pages"
        " cost the Hub less in all.",
    ).tag(config=True, expected="a whole number, 0 or more")
    url = Unicode(
        "",
        allow_none=True,
        help="URL of the Hub's REST API; empty means the environment's JUPYTERHUB_API_URL.",
    ).tag(config=True, expected="a URL such as http://127.0.0.1:8081/hub/api")
    ssl_enabled = Bool(
        False, help="Speak TLS to the Hub with the certificates of internal_certs_location (internal_ssl)."
    ).tag(config=True, expected="true or false")
    internal_certs_location = Unicode(
        "internal-ssl",
        help="Folder of the Hub's internal certificates, relative to the working directory.",
    ).tag(config=True, expected="a folder, such as /srv/jupyterhub/internal-ssl")
    bind = Unicode(
        "",
        help="Address and port to listen on, such as 0.0.0.0:10101; empty means those of the service's url in"
        " the Hub's configuration.",
    ).tag(config=True, expected="ADDRESS:PORT, such as 0.0.0.0:10101")
    database_url = Unicode(
        "sqlite:///hubcull.sqlite",
        help="SQLAlchemy URL of the database for evidence and decisions; a relative SQLite path is below the"
        " working directory.",
    ).tag(config=True, expected="an SQLAlchemy URL such as sqlite:////srv/hubcull/hubcull.sqlite")
    log_level = Enum(
        ["DEBUG", "INFO", "WARNING", "ERROR"], "INFO", help="How much to log: DEBUG, INFO, WARNING or ERROR."
    ).tag(config=True, expected="DEBUG, INFO, WARNING or ERROR")
