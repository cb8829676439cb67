"""Measures of rankings, decisions and boxes, and their bootstrap intervals, in plain numpy."""

from models.metrics.detection import (
    NO_BOX,
    PictureBoxes,
    detection_average_precision,
    detection_interval,
    match_boxes,
    overlaps,
)
from models.metrics.f1 import F1Scores, f1_scores
from models.metrics.intervals import Difference, Interval, bootstrap_interval, paired_bootstrap
from models.metrics.product1m import PRODUCT1M_DEPTHS, Product1mScores, product1m_scores
from models.metrics.ranked import (
    Rankings,
    Values,
    average_precision,
    average_precision_at_k,
    mrr,
    ndcg_at_k,
    recall_at_k,
    retrieval_ranks,
    success_at_k,
)

__all__ = [
    "NO_BOX",
    "PRODUCT1M_DEPTHS",
    "Difference",
    "F1Scores",
    "Interval",
    "PictureBoxes",
    "Product1mScores",
    "Rankings",
    "Values",
    "average_precision",
    "average_precision_at_k",
    "bootstrap_interval",
    "detection_average_precision",
    "detection_interval",
    "f1_scores",
    "match_boxes",
    "mrr",
    "ndcg_at_k",
    "overlaps",
    "paired_bootstrap",
    "product1m_scores",
    "recall_at_k",
    "retrieval_ranks",
    "success_at_k",
]
