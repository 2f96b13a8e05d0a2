"""An app of Streamlit, a part of which is drawn anew every second."""

import datetime

import streamlit as st

st.title("moves")


@st.fragment(run_every=1.0)  # type: ignore[untyped-decorator]
def moves() -> None:
    """Show the time."""
    st.write(datetime.datetime.now(datetime.timezone.utc).isoformat())


moves()
