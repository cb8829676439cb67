"""Entities of products and queries: the values a catalogue states, and which of them a text names.

This is the door to what `models.entity_statistics`, `models.linking` and `models.linking_scores` do.
"""

from models.entity_statistics import EntityStatistics, EntityStatisticsError
from models.lexicon import Vocabulary as EntityVocabulary
from models.linking import EntityLink, EntityLinker, LinkingWeights

__all__ = [
    "EntityLink",
    "EntityLinker",
    "EntityStatistics",
    "EntityStatisticsError",
    "EntityVocabulary",
    "LinkingWeights",
]
