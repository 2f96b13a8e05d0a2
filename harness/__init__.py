"""A real JupyterHub on loopback, for the end-to-end tests, the demo and the benchmarks.

`realhub` starts and stops it, `api` is its REST API, `situations` acts as a user's browser, `demo` shows
hubcull at work. A development package: it is not part of the distribution.
"""
