"""What several commands need: the model, its embedder, vectors, data, the machine, pictures."""
