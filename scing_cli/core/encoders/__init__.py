"""CLIP's image and text towers: their weights, geometry and preprocessing.

The entry point is `clip.load_clip`.
"""

# Nothing is imported here, so `hub.find_weights` and `architecture.known_models` work before torch is loaded.
