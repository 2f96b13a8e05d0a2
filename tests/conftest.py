"""What all tests share: the fixtures of a real jupyter_server, which pytest takes from here only."""

pytest_plugins = ["pytest_jupyter.jupyter_server"]
