"""The generated shop: products, brands, pictures, photos of several products, queries with known answers.

Everything is a function of a seed and a product's number, so the same call always gives the same bytes.
"""
