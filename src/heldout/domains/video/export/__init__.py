"""Models as ONNX files, checked against the weights."""
