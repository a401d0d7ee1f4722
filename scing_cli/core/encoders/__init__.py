"""CLIP's two towers behind small interfaces; their weights, geometry and preprocessing.

Start at `clip.load_clip`. This package imports nothing by itself, so that `hub.find_weights` and
`architecture.known_models` answer before torch is loaded.
"""
