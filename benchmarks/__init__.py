"""Measured figures: encoding, ANN search, and the whole service under load. Each run writes raw JSON to `out/`."""
