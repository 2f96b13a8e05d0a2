"""End to end: a real JupyterHub, real proxy, real servers, real kernels."""
