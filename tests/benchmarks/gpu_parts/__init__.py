"""The parts of `gpu.py`: each measures one thing with shared settings, and returns figures."""
