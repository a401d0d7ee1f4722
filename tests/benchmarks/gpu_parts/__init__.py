"""The parts of `gpu.py`: each measures one thing on a ground that all share, and gives figures."""
