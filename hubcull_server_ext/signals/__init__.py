"""The sources of signals: one module each, the only code that knows jupyter_server's internals.

Each answers "what did you see?" with plain values and never decides what it is worth.
"""
