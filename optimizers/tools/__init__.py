"""Tools that examine an optimizer: explain, identify, conformance, grade."""
