"""Catalogue to bundle: reading feeds, encoding products, building and checking indexes, publishing."""
