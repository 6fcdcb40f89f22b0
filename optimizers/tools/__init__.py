"""Tools that look at an optimizer: explain, identify, conformance."""
