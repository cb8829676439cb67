"""The report on a model: what its entities are worth on a catalogue, as data and as one self-contained page.

`collect` measures, `page` draws; `markup` and `charts` are what the page is made of.
"""
