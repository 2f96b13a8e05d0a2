"""An app of Shiny that sends something new every second."""

import datetime

from shiny import App, reactive, render, ui


def server(inputs: object, outputs: object, session: object) -> None:
    """Serve one page."""

    @render.text  # type: ignore[untyped-decorator]
    def moves() -> str:
        reactive.invalidate_later(1)
        return datetime.datetime.now(datetime.timezone.utc).isoformat()


app = App(ui.page_fluid(ui.h2("moves"), ui.output_text("moves")), server)
