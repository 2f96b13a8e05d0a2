"""Laws of the hook: each source is shown what concerns it, or may; it is asked once about a class."""

from __future__ import annotations

from typing import Any

from tornado.web import RequestHandler

from hubcull_server_ext.signals.hook import RequestHook


class Page(RequestHandler):
    """One class of handlers."""


class Poll(RequestHandler):
    """Another."""


class Shown:
    """A tornado application's settings with the hook in it, and requests that finish."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.hook = RequestHook(self.settings)
        self.hook.reconcile()

    def finish(self, kind: type[RequestHandler]) -> RequestHandler:
        handler = kind.__new__(kind)
        self.settings["log_function"](handler)
        return handler


def test_a_source_is_shown_what_concerns_it_and_asked_once() -> None:
    """Each request of a class that concerns it; a class is asked about once, however many requests come."""
    shown = Shown()
    seen: list[RequestHandler] = []
    everything: list[RequestHandler] = []
    asked: list[type[RequestHandler]] = []

    def concerns(handler: type[RequestHandler]) -> bool:
        asked.append(handler)
        return handler is Page

    shown.hook.add(seen.append, concerns)
    shown.hook.add(everything.append)
    finished = [shown.finish(kind) for kind in (Page, Poll, Page, Poll)]
    assert seen == finished[::2]
    assert everything == finished
    assert asked == [Page, Poll]


def test_what_can_not_be_told_is_shown() -> None:
    """Or an error would hide a person's act."""
    shown = Shown()
    seen: list[RequestHandler] = []
    shown.hook.add(seen.append, lambda _class: 1 / 0 > 0)
    assert not seen
    assert [shown.finish(Page)] == seen


def test_who_comes_later_is_shown_classes_that_came_before() -> None:
    """What is remembered of a class is not older than the newest source."""
    shown = Shown()
    first: list[RequestHandler] = []
    second: list[RequestHandler] = []
    shown.hook.add(first.append)
    one = shown.finish(Page)
    shown.hook.add(second.append)
    other = shown.finish(Page)
    assert (first, second) == ([one, other], [other])
