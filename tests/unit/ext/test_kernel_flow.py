"""Laws of floods: each message is taken once and in order, few wake; what is not read decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, NamedTuple

import zmq
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubcull_server_ext.signals.kernel_flow import Flow
from hubcull_server_ext.signals.kernel_messages import DELIMITER, KernelMessage, parse
from hubcull_server_ext.signals.kernel_state import KernelState
from hubcull_server_ext.signals.kernel_watched import Watched

Frames = list[bytes]


class Frame(NamedTuple):
    """A part of a message as it is received."""

    bytes: bytes
    more: bool


class Stream:
    """A subscription: its socket's queue, its loop's timer, and whether it wakes for messages."""

    def __init__(self) -> None:
        self.queue: list[Frames] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.see: Callable[[Frames], None] | None = None
        self.wakes = 0
        self.gone = False
        self.topics = [b""]
        self.published = 0
        self.io_loop = self.socket = self

    def on_recv(self, see: Callable[[Frames], None]) -> None:
        self.see = see

    def stop_on_recv(self) -> None:
        self.see = None

    def closed(self) -> bool:
        return self.gone

    def subscribe(self, topic: bytes) -> None:
        self.topics.append(topic)

    def unsubscribe(self, topic: bytes) -> None:
        self.topics.remove(topic)

    def publish(self, *messages: Frames) -> None:
        """Publish messages, and let those come in that are subscribed to; there must always be something."""
        assert self.topics
        self.published += len(messages)
        self.come(*[one for one in messages if any(one[0].startswith(topic) for topic in self.topics)])

    def call_later(self, delay: float, act: Callable[[], None]) -> None:
        self.timers.append((delay, act))

    def recv(self, _flags: int, copy: bool) -> Frame:
        assert not copy
        if not self.queue:
            raise zmq.Again
        first, *rest = self.queue[0]
        self.queue[:1] = [rest] if rest else []
        return Frame(first, bool(rest))

    def come(self, *messages: Frames) -> None:
        """Let messages come in, and wake whoever waits for them."""
        self.queue.extend(messages)
        while self.queue and self.see is not None:
            self.wakes += 1
            self.see(self.queue.pop(0))

    def pass_time(self) -> None:
        """Let the timers that are set go off."""
        timers, self.timers = self.timers, []
        for _, act in timers:
            act()

    def pass_looks(self) -> None:
        """Let those go off that do so within a second."""
        due = [act for delay, act in self.timers if delay < 1]
        self.timers = [(delay, act) for delay, act in self.timers if delay >= 1]
        for act in due:
            act()


class Time:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def numbered(begin: int, end: int) -> list[Frames]:
    """Return messages that are told apart by a number."""
    return [[str(number).encode(), b"content"] for number in range(begin, end)]


def test_a_flood_wakes_seldom_and_loses_nothing() -> None:
    """A thousand messages a second, ten at a time: all are taken in order, and the loop is left in peace."""
    stream, time = Stream(), Time()
    taken: list[Frames] = []
    Flow(stream, taken.append, time)  # type: ignore[arg-type]  # a stream as far as it is used
    for number in range(100):
        time.now += 0.01
        stream.come(*numbered(10 * number, 10 * number + 10))
        if number % 5 == 4:
            stream.pass_time()
    assert taken == numbered(0, 1000)
    assert stream.wakes < 10
    stream.pass_time()
    stream.pass_time()
    assert not stream.timers
    stream.come(*numbered(1000, 1001))  # after the flood one message wakes again
    assert taken[-1:] == numbered(1000, 1001)


def test_who_can_not_wait_has_what_came() -> None:
    """Before a report, or when a process is lost, all that came is taken at once; without a flood it is."""
    stream, time = Stream(), Time()
    taken: list[Frames] = []
    flow = Flow(stream, taken.append, time)  # type: ignore[arg-type]
    stream.come(*numbered(0, 3))
    assert len(taken) == 3
    stream.come(*numbered(3, 50))
    stream.come(*numbered(50, 60))
    assert len(taken) == 50  # the flood is looked at later
    flow.catch_up()
    assert taken == numbered(0, 60)


def test_a_subscription_that_is_closed_is_left_alone() -> None:
    """In the midst of a flood, with its timer set."""
    stream, time = Stream(), Time()
    taken: list[Frames] = []
    flow = Flow(stream, taken.append, time)  # type: ignore[arg-type]
    stream.come(*numbered(0, 50))
    stream.queue, stream.gone = numbered(50, 60), True
    flow.catch_up()
    stream.pass_time()
    assert len(taken) == 50
    assert not stream.timers


def _flood(stream: Stream, time: Time, begin: int, end: int, topic: bytes) -> list[Frames]:
    """Publish a thousand messages a second of one topic, and return them."""
    made = [[topic, str(number).encode()] for number in range(begin, end)]
    for place in range(0, len(made), 10):
        time.now += 0.01
        stream.publish(*made[place : place + 10])
        if place % 100 == 90:
            stream.pass_looks()
    return made


def test_a_flood_of_other_topics_is_left_out_and_what_must_be_heard_is_not() -> None:
    """For some seconds, then it is looked at again; nothing that must be heard is ever missed."""
    stream, time = Stream(), Time()
    taken: list[Frames] = []
    Flow(stream, taken.append, time, lambda: b"kernel.")  # type: ignore[arg-type]
    _flood(stream, time, 0, 200, b"comm-1")
    assert stream.topics == [b"kernel."]
    before = len(taken)
    status = [b"kernel.1.status", b"busy"]
    _flood(stream, time, 200, 1000, b"comm-1")
    stream.publish(status)
    assert taken[before:] == [status]
    stream.pass_time()
    assert stream.topics == [b""]
    _flood(stream, time, 1000, 1200, b"comm-1")
    assert stream.topics == [b"kernel."]
    stream.pass_time()
    stream.pass_time()
    last = [b"comm-1", b"after the flood"]
    stream.publish(last)
    assert taken[-1] == last
    assert len(taken) < stream.published / 2


def test_what_was_left_out_is_heard_at_once_where_it_begins_to_matter() -> None:
    """And as the flood it may still be: it wakes nobody for each message."""
    stream, time = Stream(), Time()
    taken: list[Frames] = []
    flow = Flow(stream, taken.append, time, lambda: b"kernel.")  # type: ignore[arg-type]
    flow.hear_all()
    assert stream.topics == [b""]
    _flood(stream, time, 0, 200, b"comm-1")
    stream.pass_looks()
    assert stream.topics == [b"kernel."]
    flow.hear_all()
    assert stream.topics == [b""]
    before, wakes = len(taken), stream.wakes
    made = [[b"comm-1", b"it goes on"], [b"comm-1", b"and on"]]
    stream.publish(*made)
    stream.pass_looks()
    assert (taken[before:], stream.wakes) == (made, wakes)


def test_a_cell_that_begins_to_wait_in_mid_flood_is_heard_to_go_on() -> None:
    """What it prints may be all that tells, and was left out until then."""
    stream, time = Stream(), Time()
    watched = Watched()

    def take(one: Frames) -> None:
        message = parse(one)
        watched.learn(one[0], message)
        watched.state.observe(message, time())

    watched.flow = Flow(stream, take, time, watched.enough)  # type: ignore[arg-type]
    watched.probe.first_heard = 1.0
    for kind in ("status", "execute_input"):
        stream.publish(_named(frames(kind, "a", "execute_request", 0, "busy")))
    flood = _named(frames("stream", "b", "comm_msg", 1, "none"))
    for _ in range(3):
        for _ in range(10):
            time.now += 0.01
            stream.publish(*[flood] * 10)
        stream.pass_looks()
    assert stream.topics == [b"kernel."]
    watched.widen()
    assert stream.topics == [b"kernel."], "nothing waits"
    question = KernelMessage("input_request", "execute_request", "a", "", "", "2026-01-01T00:00:05Z")
    assert watched.state.asks(question, time())
    watched.widen()
    assert stream.topics == [b""]
    stream.publish(_named(frames("stream", "a", "execute_request", 9, "none")))
    stream.pass_looks()
    assert list(watched.state.in_flight) == ["a"]


def test_a_flood_is_heard_where_it_can_not_be_told_from_what_must_be() -> None:
    """It has the same topics, or none is known to be enough."""
    for enough in (b"kernel.", None, b""):
        stream, time = Stream(), Time()
        taken: list[Frames] = []
        Flow(stream, taken.append, time, lambda enough=enough: enough)  # type: ignore[arg-type, misc]
        made = _flood(stream, time, 0, 1000, b"kernel.1.display_data")
        stream.pass_looks()
        assert taken == made
        assert stream.topics == [b""]


_DEBUGGED: dict[str, dict[str, object]] = {
    "busy": {"event": "stopped", "body": {"allThreadsStopped": True}},
    "idle": {"event": "continued"},
    "starting": {"event": "debugpySockets"},
}
"""What a debugger says in the same breath, if it is one that speaks."""


def frames(kind: str, parent: str, asker: str, second: int, state: str) -> Frames:
    """Return a message as a kernel publishes it."""
    header = {"msg_type": kind, "date": f"2026-01-01T00:00:{second:02}+00:00"}
    parts: tuple[object, ...] = (
        header,
        {"msg_type": asker, "msg_id": parent},
        {},
        {"execution_state": state, **_DEBUGGED.get(state, {}), "seq": second},
    )
    return [b"topic", DELIMITER, b"sig", *(json.dumps(part).encode() for part in parts)]


published = st.builds(
    frames,
    st.sampled_from(
        ["status", "stream", "comm_msg", "display_data", "execute_input", "input_request", "debug_event"]
    ),
    st.sampled_from("abc"),
    st.sampled_from(["execute_request", "comm_msg", "kernel_info_request"]),
    st.integers(0, 9),
    st.sampled_from(["busy", "idle", "starting"]),
)


def _state_after(messages: list[Frames], skips: bool) -> tuple[KernelState, Any, Any]:
    """Return what is known after these messages; a question goes its other way."""
    watched = Watched()
    watched.probe.first_heard = 0.0
    for number, one in enumerate(messages):
        now = float(number)
        if b"input_request" in one[3]:
            watched.catch_up(now)
            watched.state.on_stdin(parse(one), now)
        elif not (skips and watched.passes(deepcopy(one), now)):
            watched.read_unread(now)
            message = parse(one)
            watched.repair.heard(now, tells=message.parent_type != "kernel_info_request")
            watched.state.observe(message, now)
    watched.catch_up(0.0)
    return watched.state, watched.repair._messages, watched.repair._heard_at


@settings(deadline=None, max_examples=500)
@given(st.lists(published, max_size=30))
def test_what_is_not_read_changes_nothing(messages: list[Frames]) -> None:
    """Work, requests, questions, the newest message and the counts are as if each had been read."""
    assert _state_after(messages, skips=True) == _state_after(messages, skips=False)


def _named(one: Frames) -> Frames:
    """Return a message under its topic, as ipykernel has it: those of streams, displays and comms differ."""
    kind = str(json.loads(one[3])["msg_type"]).encode()
    ours = kind in {b"status", b"execute_input", b"debug_event"}
    return [b"kernel.1." + kind if ours else kind, *one[1:]]


def _known(watched: Watched) -> tuple[object, ...]:
    """Return what a report is made from."""
    state = watched.state
    return state.in_flight, state.waiting, state.last, state.runs, state.requests


_ASKED_BEFORE_IT_WAS_HEARD_OF = [
    frames("status", "b", "execute_request", 0, "busy"),
    frames("execute_input", "b", "execute_request", 0, "busy"),
    frames("status", "b", "execute_request", 0, "idle"),
    frames("input_request", "a", "execute_request", 0, "busy"),
    frames("stream", "a", "execute_request", 0, "busy"),
    frames("status", "a", "execute_request", 0, "busy"),
]


@settings(deadline=None, max_examples=500)
@given(st.lists(published, max_size=30))
@example(_ASKED_BEFORE_IT_WAS_HEARD_OF)
def test_what_is_left_out_changes_nothing(messages: list[Frames]) -> None:
    """Work, requests and questions are as if all was heard, if a question is read before what follows it."""
    some, every = Watched(), Watched()
    some.probe.first_heard = every.probe.first_heard = 0.0
    for number, one in enumerate(map(_named, messages)):
        message, now = parse(one), float(number)
        message = replace(message, date=f"2026-01-01T00:00:{number:02}+00:00")
        if message.msg_type == "input_request":
            some.state.on_stdin(message, now)
            every.state.on_stdin(message, now)
            continue
        enough = some.enough()
        every.state.observe(message, now)
        if enough is None or one[0].startswith(enough):
            some.learn(one[0], message)
            some.state.observe(message, now)
        assert _known(some) == _known(every)


def test_only_what_is_known_to_be_enough_is() -> None:
    """A status and a cell's echo came under one family of topics, and nothing waits; else all is heard."""

    def heard(*topics: bytes) -> Watched:
        watched = Watched()
        watched.probe.first_heard = 0.0
        for topic, kind in zip(topics, ("status", "execute_input"), strict=False):
            watched.learn(topic, parse(frames(kind, "a", "execute_request", 1, "busy")))
        return watched

    assert heard().enough() is None
    assert heard(b"kernel.1.status").enough() is None
    assert heard(b"kernel.1.status", b"kernel.1.execute_input").enough() == b"kernel."
    assert heard(b"kernel.1.status", b"other.1.execute_input").enough() is None
    assert heard(b"kernel.1.status", b"execute_input").enough() is None
    assert heard(b"status", b"execute_input").enough() is None
    assert heard(DELIMITER, DELIMITER).enough() is None
    mixed = heard(b"kernel.1.status", b"kernel.1.execute_input")
    for topic in (b"other.1.status", b"kernel.1.status"):  # once is enough: it may do so again
        mixed.learn(topic, parse(frames("status", "a", "execute_request", 1, "busy")))
        assert mixed.enough() is None
    unheard = heard(b"kernel.1.status", b"kernel.1.execute_input")
    unheard.probe.first_heard = None
    assert unheard.enough() is None
    waits = heard(b"kernel.1.status", b"kernel.1.execute_input")
    waits.state.observe(parse(frames("status", "a", "execute_request", 1, "busy")), 1.0)
    waits.state.on_stdin(parse(frames("input_request", "a", "execute_request", 2, "")), 2.0)
    assert waits.state.waiting
    assert waits.enough() is None


def test_a_widgets_messages_are_not_read() -> None:
    """Or the law above would hold for nothing; a status, and anything while something waits, is."""
    watched = Watched()
    chatter, status = (frames(kind, "a", "execute_request", 1, "busy") for kind in ("comm_msg", "status"))
    assert not watched.passes(chatter, 1.0)  # nothing has been heard yet
    watched.probe.first_heard = 0.0
    assert watched.passes(chatter, 1.0)
    assert not watched.passes(status, 1.0)
    watched.state.observe(parse(status), 1.0)
    watched.state.on_stdin(parse(frames("input_request", "a", "execute_request", 2, "")), 2.0)
    assert watched.state.waiting
    assert not watched.passes(chatter, 3.0)


def test_a_message_left_out_that_can_not_be_read_is_a_doubt_and_hides_no_other() -> None:
    """The work that the next one begins is seen; where none comes, the report says what is wrong."""
    watched = Watched()
    watched.probe.first_heard = 0.5
    broken = [b"<IDS|MSG>", b"", b"no JSON", b"{}", b"{}", b"{}"]
    assert watched.passes(broken, 1.0)
    watched.read_unread(2.0)
    assert watched.unreadable is not None
    watched.unreadable = None
    assert watched.passes(broken, 3.0)
    watched.catch_up(4.0)
    assert watched.unreadable is not None
