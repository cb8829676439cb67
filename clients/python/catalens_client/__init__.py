"""Catalens over HTTP, typed: `Catalens("http://localhost:8080").search(q="red shoes")`.

What is asked and answered is in `catalens_client.wire`, which is generated from the OpenAPI document.
"""

from catalens_client.client import Catalens, picture
from catalens_client.errors import CatalensError, NoAnswerError

__all__ = ["Catalens", "CatalensError", "NoAnswerError", "picture"]
