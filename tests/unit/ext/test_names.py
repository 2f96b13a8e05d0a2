"""Laws of names in reports: numbers as they are, what people chose never."""

from __future__ import annotations

import pytest

from hubcull_server_ext.signals.names import terminal_source


@pytest.mark.parametrize("name", ["1", "42"])
def test_a_terminal_that_was_numbered_is_named_by_its_number(name: str) -> None:
    """As jupyter_server shows it, so that its user finds it."""
    assert terminal_source(name) == f"terminal:{name}"


@pytest.mark.parametrize("name", ["merger", "4711", "\u0661", "1\n", "", "\ud800"])
def test_a_given_name_is_told_by_a_number_of_our_own(name: str) -> None:
    """The same each time, another for another name, and without the name in it."""
    source = terminal_source(name)
    assert source.startswith("terminal:named-")
    assert source == terminal_source(name) != terminal_source(name + "x")
    assert not name.strip() or name not in source
