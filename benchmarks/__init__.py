"""What hubcull costs: one module per benchmark, each with a `run()`; see README.md."""
