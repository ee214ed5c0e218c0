"""Export: parts as ONNX graphs, precision found by measurement, parity gates, packed bundles."""
