"""hubcull's configuration with what an operator may choose instead of our defaults."""

from datetime import datetime, timedelta, timezone
from typing import Any

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - a configuration file has it


def hook(inactive: timedelta, inactive_limit: float, server: dict[str, Any], evidence: Any) -> object:
    """Keep who is asked something, and of one profile whoever the Hub calls active."""
    if evidence.report and any(signal.kind == "kernel_input" for signal in evidence.report.signals):
        return False, "a question waits for its answer"
    if (server.get("user_options") or {}).get("profile") == "shows":
        age = datetime.now(timezone.utc) - evidence.server.last_activity
        return age > timedelta(seconds=inactive_limit), "by last_activity"
    return None


c.Hubcull.cull_arbiter_hook = hook
