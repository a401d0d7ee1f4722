"""Code that several commands share: models, embedders, vectors, data, devices, pictures."""
