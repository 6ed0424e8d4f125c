"""How fast the engine is, measured with a real worker cluster.

Run it with ``python -m benchmarks``; README.md tells how to read the output.
"""
