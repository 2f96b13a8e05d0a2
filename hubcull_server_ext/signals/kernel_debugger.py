"""What the debugger of one kernel says: whether all that the kernel runs has halted; pure.

It knows the Debug Adapter Protocol's events, and nothing of requests. By that protocol a debugger need not
say that it lets the kernel go on; one that is not known to say so is not believed to have halted anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from hubcull_server_ext.signals.kernel_messages import DebugEvent

_KNOWN_TO_SAY = "debugpy"
"""How events begin by which ipykernel's debugger is known; it says each time that a kernel goes on."""
_ANEW = frozenset({"initialized", "terminated"})
_GOES_ON = frozenset({"continued", "terminated", "exited"})
_NOTHING = float("-inf")


class Halt(Enum):
    """What an event says of all that a kernel runs."""

    HALTED = auto()
    GOES_ON = auto()
    UNTOLD = auto()


@dataclass(slots=True)
class Debugger:
    """The debugger of one kernel's process: whether it is one that says all, and when it let go on last."""

    says_all: bool = False
    went_on: float = _NOTHING

    def says(self, event: DebugEvent) -> Halt:
        """Take an event; return what it says.

        A kernel may hand on that it halted later than that it went on again: the debugger's own numbers tell.
        """
        if event.name.startswith(_KNOWN_TO_SAY):
            self.says_all = True
        if event.name in _GOES_ON:
            self.went_on = _NOTHING if event.name in _ANEW else max(self.went_on, event.number)
            return Halt.GOES_ON
        if event.name in _ANEW:
            self.went_on = _NOTHING
        believed = self.says_all and event.all_threads and event.number > self.went_on
        return Halt.HALTED if event.name == "stopped" and believed else Halt.UNTOLD
