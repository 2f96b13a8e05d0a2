"""A dashboard of Bokeh that the server moves by itself, every second."""

from bokeh.io import curdoc
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Div
from bokeh.plotting import figure

source = ColumnDataSource({"x": [0], "y": [0]})
plot = figure()
plot.line("x", "y", source=source)


def move() -> None:
    """Add a point."""
    x = source.data["x"][-1] + 1
    source.stream({"x": [x], "y": [x % 7]})


curdoc().add_root(column(Div(text="moves"), plot))
curdoc().add_periodic_callback(move, 1000)
