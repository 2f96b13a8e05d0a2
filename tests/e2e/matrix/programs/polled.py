"""An extension of the server that nobody knows, with one address that its page asks for by itself."""

from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import web


class NewsHandler(APIHandler):
    """Tells whether there is news."""

    auth_resource = "news"

    @web.authenticated
    def get(self) -> None:
        """Answer."""
        self.finish({"news": []})


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "polled"}]


def _load_jupyter_server_extension(app: Any) -> None:
    app.web_app.add_handlers(".*$", [(f"{app.web_app.settings['base_url']}polled/news", NewsHandler)])
