"""An image encoder as a graph file: ONNX, or OpenVINO's IR (`.xml` with its `.bin`).

Such a file comes from anywhere. It is checked before an engine sees it (`onnx_graph`, `ir_graph`): it may hold standard
operators and its own weights only. `preparation` says how its pixels are prepared, `engines` runs it, and
`graph_encoder` turns its output into one vector per image. None of this needs torch or the package `onnx`.
"""
