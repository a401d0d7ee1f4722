"""The library behind the command line; all of it can be used from Python.

Data flows down this list. A file imports only from the entries above its own::

    errors, paths, settings, artifacts, threads, devices, runtime, reporting
                                            shared by all packages; each setting and method is described once
    processes                               one training in several processes; alone, it does nothing
    manifest, image_formats, imagefile      one row per observation; suffixes; one image file -> pixels
    layouts                                 the table of all layouts
    datasets                                a folder in some layout -> Manifest
    batches                                 Manifest -> pixels on the device
    encoders                                CLIP's two towers, also as OpenVINO or ONNX models; any encoder as ONNX
    methods                                 trainable parameters and their losses
    training                                one loop for every stage and method
    embeddings                              encoder + files or texts -> unit vectors
    pairs                                   exact scores of single pairs
    index                                   vectors + rows -> a searchable file
    evaluation                              CMC, mAP, mINP; re-ranking; thresholds; the gap; the paper's tables
    figures                                 the ranked montage, saliency, charts
    synthetic                               draws synthetic data sets; only workflows use it
    workflows                               one public function per command
    library                                 what a notebook needs: models, indexes, hits
"""
