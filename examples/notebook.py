"""Open a run, embed images, search an index and show the ranking, as in a notebook.

Usage: python examples/notebook.py RUN INDEX PHOTO...   (writes hits.png where there is no screen)
"""

import sys

from PIL import Image

import scing_cli as scing

run, index_file, *photos = sys.argv[1:]
model = scing.load_model(run)
images = [Image.open(photo) for photo in photos]
vectors = model.embed(images)
print(f"{model.name}: {len(vectors)} unit vectors of width {model.width}")

index = scing.load_index(index_file)
hits = index.search(vectors, k=5)  # pandas.DataFrame(hits) is a table of them
for hit in hits:
    print(hit.query, hit.rank, f"{hit.score:.4f}", hit.identity, hit.camera, hit.path)

ranking = scing.draw_hits(images, hits)  # the last line of a notebook's cell shows it
ranking.save("hits.png")
