"""The library behind the command line: all of it is usable from Python.

Data flows down this list, and a file imports only from entries above its own::

    errors, paths, settings, artifacts, runtime, reporting
                                            what every room needs; each setting and method described once
    manifest, imagefile                     one row per observation; one image file -> pixels
    layouts                                 the one table of layouts
    datasets, synthetic                     a folder in some layout -> Manifest
    batches                                 Manifest -> pixels on the device
    encoders                                CLIP's two towers; the image tower's inference copy
    methods                                 what is learnt, and with which losses
    training                                one loop for every stage and method
    embeddings                              encoder + files -> unit vectors
    pairs                                   exact scores of single pairs
    index                                   vectors + rows -> a searchable file
    evaluation                              CMC, mAP, mINP; re-ranking; thresholds; the gap; the paper's tables
    figures                                 the ranked montage, saliency, charts
    workflows                               one public function per command
    library                                 what a notebook needs: models, indexes, hits
"""
