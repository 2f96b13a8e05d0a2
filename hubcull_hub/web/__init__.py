"""The service's web side: the API that reports go to, and that CLI and pages read."""
