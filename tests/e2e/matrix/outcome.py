"""What was measured of one row, and whether it is right; pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tests.e2e.matrix.row import Fate, Right, Row

GRAIN = 5.0
"""Seconds that the Hub's last_activity may be younger, or a stop earlier, than the user's last act says: the
Hub hears of activity every two seconds, and a loaded machine is late."""


_BY_NO_SIGNAL = {"hook_keeps": "hook", "source_failed": "doubt"}
"""Reasons to keep a server that are no source's."""


class PremiseError(Exception):
    """The situation was not what the row says; nothing was shown."""


class WrongVerdictError(AssertionError):
    """hubcull did the wrong thing in a situation that was as the row says."""


@dataclass(frozen=True)
class Outcome:
    """One row as played. Durations are seconds, counted from the end of the last act that made it.

    ``oldest_activity`` is the greatest age of the Hub's last_activity while the server ran, ``gone_after``
    None for a server that was not stopped. ``reason``, ``basis``, ``decided_by`` and ``text`` are hubcull's
    newest verdict, ``signals`` what the server's report said shortly before the deadline.
    """

    number: str
    timeout: float
    oldest_activity: float
    watched: float
    gone_after: float | None
    reason: str
    basis: str
    decided_by: str
    text: str
    faults: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()

    @property
    def stock(self) -> Fate:
        """What a culler that goes by last_activity would have done by the end of the watch.

        Where hubcull stopped the server, it would have done so within moments if nothing had moved.
        """
        limit = self.timeout if self.gone_after is None else self.timeout - GRAIN
        return Fate.STOPPED if self.oldest_activity > limit else Fate.KEPT

    @property
    def hubcull(self) -> Fate:
        """What hubcull really did."""
        return Fate.KEPT if self.gone_after is None else Fate.STOPPED

    @property
    def signal(self) -> str:
        """The source that keeps the server, without its number; empty where nothing did."""
        if self.gone_after is None and self.reason in _BY_NO_SIGNAL:
            return _BY_NO_SIGNAL[self.reason]
        return self.decided_by.partition(":")[0] if self.gone_after is None else ""

    def check(self, row: Row) -> None:
        """Compare with the row.

        Raises:
            PremiseError: when the situation was not there, or stock says another thing than the row.
            WrongVerdictError: when hubcull was not right, or not for the right reason.

        """
        if self.faults:
            raise PremiseError("; ".join(self.faults))
        if row.stock is not None and self.stock is not row.stock:
            told = f"{self.stock.value}, last_activity up to {self.oldest_activity:.1f} s old"
            raise PremiseError(f"stock: {told}; the row says {row.stock}")
        if row.gap and (self.hubcull, self.signal) != (row.expected, row.kept_by):
            raise PremiseError(f"the gap has changed: {self.told}, decided by {self.decided_by}")
        if self.hubcull is not row.right.fate:
            raise WrongVerdictError(f"{row.situation}: {row.right.value}, but {self.told}")
        if row.right is Right.ACTIVE and self.signal not in {row.signal, row.also or row.signal}:
            raise WrongVerdictError(f"kept by {self.signal!r} and not by {row.signal!r}: {self.told}")
        if self.gone_after is not None and self.basis != "report":
            raise WrongVerdictError(f"stopped without its own report: {self.told}")
        if self.gone_after is not None and self.gone_after < self.timeout - GRAIN:
            raise WrongVerdictError(f"stopped before the timeout of {self.timeout:g} s: {self.told}")

    @property
    def told(self) -> str:
        """The outcome in a few words."""
        after = f"after {self.watched if self.gone_after is None else self.gone_after:.1f} s"
        return f"{self.hubcull.value} {after}: {self.reason} by {self.basis}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, with what follows from them."""
        said = {"stock": self.stock.value, "hubcull": self.hubcull.value, "signal": self.signal}
        return {**asdict(self), "faults": list(self.faults), "signals": list(self.signals), **said}
