"""What a request means, told by its handler's class and its method; pure.

One table of the handlers we know. Whatever is not in it protects, by its own name. It
knows nothing of how requests are seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from functools import lru_cache
from typing import Any

import tornado.web


class Meaning(Enum):
    """What one request tells about people."""

    HUMAN = auto()  # only a person's act makes it
    READING = auto()  # so does this, and it changes nothing: a page, a file
    TAB = auto()  # a visible page makes it by itself
    NOTHING = auto()  # pages' files, health checks, scrapes
    UNKNOWN = auto()  # nobody told us: it protects

    # An Enum's own is Python, and runs several times a request; members are equal only to themselves.
    __hash__ = object.__hash__


# (top-level package, class) -> methods that a visible tab sends by itself. Every other method of these
# is a person's act. Measured with an idle, visible tab of JupyterLab 4.6 and Notebook 7.6; those of git,
# dask and the launchpad are read from their sources.
_GET = frozenset({"GET"})
_ANY = frozenset({"GET", "POST"})
_TAB_POLLS: dict[tuple[str, str], frozenset[str]] = {
    ("jupyter_server", "MainKernelHandler"): _GET,
    ("jupyter_server", "KernelHandler"): _GET,
    ("jupyter_server", "SessionRootHandler"): _GET,
    ("jupyter_server", "SessionHandler"): _GET,
    ("jupyter_server", "ContentsHandler"): _GET,  # but for opened files, see `meaning`
    ("jupyter_server", "CheckpointsHandler"): _GET,
    ("jupyter_server", "MainKernelSpecHandler"): _GET,
    ("jupyter_server", "KernelSpecHandler"): _GET,
    ("jupyter_server", "IdentityHandler"): _GET,
    ("jupyter_server", "ConfigHandler"): _GET,
    ("jupyter_server", "NbconvertRootHandler"): _GET,
    ("jupyter_server_terminals", "TerminalRootHandler"): _GET,
    ("jupyter_server_terminals", "TerminalHandler"): _GET,
    ("jupyterlab_server", "WorkspacesHandler"): frozenset({"GET", "PUT"}),
    ("jupyterlab_server", "SettingsHandler"): _GET,
    ("jupyterlab_server", "SchemaHandler"): _GET,
    ("jupyterlab_server", "TranslationsHandler"): _GET,
    ("jupyterlab_server", "ListingsHandler"): _GET,
    ("jupyterlab_server", "LicensesHandler"): _GET,
    ("jupyterlab", "NewsHandler"): _GET,
    ("jupyterlab", "CheckForUpdateHandler"): _GET,
    ("jupyterlab", "ExtensionHandler"): _GET,
    ("jupyterlab", "PluginHandler"): _GET,
    ("jupyterlab", "BuildHandler"): _GET,
    ("jupyter_lsp", "LanguageServersHandler"): _GET,
    ("jupyter_server_proxy", "ServersInfoHandler"): _GET,
    ("jupyter_resource_usage", "ApiHandler"): _GET,
    ("jupyter_resource_usage", "KernelUsageHandler"): _GET,
    ("jupyterlab_git", "GitStatusHandler"): _ANY,  # every 3 s, and a POST
    ("jupyterlab_git", "GitFetchHandler"): _ANY,
    ("jupyterlab_git", "GitBranchHandler"): _ANY,
    ("jupyterlab_git", "GitTagHandler"): _ANY,
    ("jupyterlab_git", "GitChangedFilesHandler"): _ANY,
    ("jupyterlab_git", "GitShowPrefixHandler"): _ANY,
    ("jupyterlab_git", "GitShowTopLevelHandler"): _ANY,
    ("jupyterlab_git", "GitUpstreamHandler"): _ANY,
    ("jupyterlab_git", "GitRemoteDetailsShowHandler"): _ANY,
    ("jupyterlab_git", "GitStashHandler"): _GET,
    ("jupyterlab_git", "GitSettingsHandler"): _GET,
    ("dask_labextension", "DaskClusterHandler"): _GET,
    ("dask_labextension", "DaskDashboardCheckHandler"): _GET,
    ("jupyterlab_launchpad", "DatabaseHandler"): _GET,
    ("jupyterlab_launchpad", "NebiCapabilitiesHandler"): _GET,
    ("jupyterlab_new_launcher", "DatabaseHandler"): _GET,
}

_HUMAN = frozenset(
    {
        ("jupyter_server", "MainHandler"),
        ("jupyter_server", "FilesHandler"),
        ("jupyter_server", "AuthenticatedFileHandler"),
        ("jupyter_server", "FilesRedirectHandler"),
        ("jupyter_server", "NotebooksRedirectHandler"),
        ("jupyter_server", "ViewHandler"),
        ("jupyter_server", "NbconvertFileHandler"),
        ("jupyter_server", "NbconvertPostHandler"),
        ("jupyter_server", "KernelActionHandler"),
        ("jupyter_server", "ModifyCheckpointsHandler"),
        ("jupyter_server", "TrustNotebooksHandler"),
        ("jupyter_server", "ShutdownHandler"),
        ("jupyter_server", "PathResolverHandler"),
        ("jupyter_server", "LoginFormHandler"),
        ("jupyter_server", "LogoutHandler"),
        ("jupyterlab_server", "LabHandler"),
        ("notebook", "NotebookBaseHandler"),
        ("nbclassic", "*"),
        ("jupyterlab_git", "*"),
    }
)

_NOTHING = frozenset(
    {
        ("jupyter_server", "APIVersionHandler"),
        ("jupyter_server", "APIStatusHandler"),
        ("jupyter_server", "APISpecHandler"),
        ("jupyter_server", "CSPReportHandler"),
        ("jupyter_server", "Template404"),
        ("jupyter_server", "PrometheusMetricsHandler"),
        ("jupyter_server", "FileFindHandler"),
        ("jupyter_server", "PublicStaticFileHandler"),
        ("jupyter_server", "KernelSpecResourceHandler"),
        ("jupyter_server", "GatewayResourceHandler"),
        ("jupyter_server", "TrailingSlashHandler"),
        ("jupyter_server", "RedirectWithParams"),
        ("jupyter_server", "SubscribeWebsocket"),
        ("jupyter_server", "KernelWebsocketHandler"),  # what goes through it, the kernels source sees
        ("jupyter_server", "WebSocketChannelsHandler"),
        ("jupyter_server_terminals", "TermSocket"),
        ("jupyter_server_proxy", "IconHandler"),
        ("hubcull_server_ext", "*"),
    }
)


_KERNEL_SOCKETS = frozenset(
    {("jupyter_server", "KernelWebsocketHandler"), ("jupyter_server", "WebSocketChannelsHandler")}
)
_MOST_KINDS = 1000
"""Kinds of requests of which it is remembered what they mean."""
_SHARED_DOCUMENTS = frozenset({"YDocWebSocketHandler", "YRoomWebsocket"})


def meaning(handler: type[object], method: str, opens_file: bool = False) -> Meaning:
    """Tell what a finished request means.

    Args:
        handler: the handler's class; the nearest class of its ancestry that we know decides.
        method: the HTTP method.
        opens_file: whether it asks for a file's content and not for a folder's listing.

    """
    one: Any = handler  # every class can be hashed
    return _meaning(one, method, opens_file)


@lru_cache(maxsize=_MOST_KINDS)
def _meaning(handler: type[object], method: str, opens_file: bool) -> Meaning:
    if method == "OPTIONS" or handler is tornado.web.StaticFileHandler:
        return Meaning.NOTHING
    method = "GET" if method == "HEAD" else method
    for key in _keys(handler):
        if key in _NOTHING:
            return Meaning.NOTHING
        if key in _TAB_POLLS:
            poll = method in _TAB_POLLS[key] and not opens_file
            return Meaning.TAB if poll else _act(method)
        if key in _HUMAN:
            return _act(method)
    return Meaning.UNKNOWN


def _act(method: str) -> Meaning:
    """Return what a person does with a request by this method."""
    return Meaning.READING if method == "GET" else Meaning.HUMAN


def saves_document(handler: type[object], method: str) -> bool:
    """Whether a request writes a document's content, as pages also do by themselves."""
    return method == "PUT" and ("jupyter_server", "ContentsHandler") in set(_keys(handler))


def is_terminal_socket(handler: type[object]) -> bool:
    """Whether a websocket carries a terminal's keystrokes."""
    return ("jupyter_server_terminals", "TermSocket") in set(_keys(handler))


def is_kernel_socket(handler: type[object]) -> bool:
    """Whether a websocket carries a kernel's messages."""
    return bool(_KERNEL_SOCKETS & set(_keys(handler)))


def is_echo_of_polls(handler: type[object]) -> bool:
    """Whether a websocket only tells of what others asked for, the polls of its own page among it."""
    return ("jupyter_server", "SubscribeWebsocket") in set(_keys(handler))


def has_awareness(handler: type[object]) -> bool:
    """Whether over a websocket goes, among other things, that somebody is there."""
    return handler.__name__ in _SHARED_DOCUMENTS


def is_awareness(handler: type[object], message: object) -> bool:
    """Whether a message only says that somebody is there: documents that are shared tell so every 15 s."""
    return isinstance(message, bytes) and message[:1] == b"\x01" and has_awareness(handler)


def _keys(handler: type[object]) -> Iterator[tuple[str, str]]:
    """Yield how the tables name a class and its ancestors, nearest first."""
    for cls in handler.__mro__:
        package = cls.__module__.partition(".")[0]
        yield package, cls.__name__
        if cls is handler:
            yield package, "*"
