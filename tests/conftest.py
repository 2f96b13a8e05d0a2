"""What all tests share: the fixtures of a real jupyter_server, which pytest takes from here only.

And how Hypothesis judges: by what comes out, never by the time that a busy machine took.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["pytest_jupyter.jupyter_server"]
