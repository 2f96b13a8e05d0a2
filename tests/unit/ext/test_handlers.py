"""Laws of classification: the nearest class that we know decides, and the unknown protects."""

from __future__ import annotations

import pytest
import tornado.web

from hubcull_server_ext.signals.handlers import Meaning, meaning


def handler(name: str, module: str, *bases: type) -> type:
    """Return a handler class of that name, as if defined in that module."""
    return type(name, bases or (tornado.web.RequestHandler,), {"__module__": module})


@pytest.mark.parametrize(
    ("name", "module", "method", "expected"),
    [
        ("MainKernelHandler", "jupyter_server.services.kernels.handlers", "GET", Meaning.TAB),
        ("MainKernelHandler", "jupyter_server.services.kernels.handlers", "POST", Meaning.HUMAN),
        ("KernelActionHandler", "jupyter_server.services.kernels.handlers", "POST", Meaning.HUMAN),
        ("WorkspacesHandler", "jupyterlab_server.workspaces_handler", "PUT", Meaning.TAB),
        ("WorkspacesHandler", "jupyterlab_server.workspaces_handler", "DELETE", Meaning.HUMAN),
        ("SettingsHandler", "jupyterlab_server.settings_handler", "PUT", Meaning.HUMAN),
        ("CheckpointsHandler", "jupyter_server.services.contents.handlers", "GET", Meaning.TAB),
        ("CheckpointsHandler", "jupyter_server.services.contents.handlers", "POST", Meaning.HUMAN),
        ("ApiHandler", "jupyter_resource_usage.api", "GET", Meaning.TAB),
        ("ApiHandler", "somebody_else.api", "GET", Meaning.UNKNOWN),
        ("LabHandler", "jupyterlab_server.handlers", "GET", Meaning.READING),
        ("TreeHandler", "nbclassic.tree.handlers", "GET", Meaning.READING),
        ("FilesHandler", "jupyter_server.files.handlers", "GET", Meaning.READING),
        ("SessionRootHandler", "jupyter_server.services.sessions.handlers", "POST", Meaning.HUMAN),
        ("ContentsHandler", "jupyter_server.services.contents.handlers", "PATCH", Meaning.HUMAN),
        ("GitStatusHandler", "jupyterlab_git.handlers", "POST", Meaning.TAB),
        ("GitCommitHandler", "jupyterlab_git.handlers", "POST", Meaning.HUMAN),
        ("GitDiffHandler", "jupyterlab_git.handlers", "GET", Meaning.READING),
        ("DatabaseHandler", "jupyterlab_launchpad.handlers", "GET", Meaning.TAB),
        ("DatabaseHandler", "jupyterlab_launchpad.handlers", "POST", Meaning.HUMAN),
        ("APIStatusHandler", "jupyter_server.services.api.handlers", "GET", Meaning.NOTHING),
        ("Template404", "jupyter_server.base.handlers", "GET", Meaning.NOTHING),
        ("MainKernelHandler", "jupyter_server.services.kernels.handlers", "OPTIONS", Meaning.NOTHING),
        ("KernelWebsocketHandler", "jupyter_server.services.kernels.websocket", "GET", Meaning.NOTHING),
        ("DocSessionHandler", "jupyter_server_ydoc.handlers", "PUT", Meaning.UNKNOWN),
    ],
)
def test_meaning_of_known_and_unknown_handlers(
    name: str, module: str, method: str, expected: Meaning
) -> None:
    """Package, class and method decide; a name alone does not."""
    assert meaning(handler(name, module), method) is expected


def test_subclass_of_a_known_handler_means_the_same() -> None:
    """A deployment's own subclass is not strange for being one."""
    kernels = handler("MainKernelHandler", "jupyter_server.services.kernels.handlers")
    assert meaning(handler("OurKernels", "our.handlers", kernels), "GET") is Meaning.TAB


def test_opened_file_is_a_persons_act_and_a_listing_is_not() -> None:
    """The file browser polls folders; only a person opens a file."""
    contents = handler("ContentsHandler", "jupyter_server.services.contents.handlers")
    assert meaning(contents, "GET") is Meaning.TAB
    assert meaning(contents, "GET", opens_file=True) is Meaning.READING


def test_static_files_are_nothing_but_a_strangers_subclass_is_unknown() -> None:
    """The plain static handler serves pages' files; what somebody made of it, nobody told us."""
    assert meaning(tornado.web.StaticFileHandler, "GET") is Meaning.NOTHING
    strange = handler("Downloads", "somebody_else", tornado.web.StaticFileHandler)
    assert meaning(strange, "GET") is Meaning.UNKNOWN
