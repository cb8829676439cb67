"""The visible details of products: for each slot its values, and the phrases that name a value in a text.

A value without phrases is drawn but never spoken of. `demo.taxonomy` says which category has which slots.
"""

Slot = dict[str, tuple[str, ...]]
"""Value to phrases."""
