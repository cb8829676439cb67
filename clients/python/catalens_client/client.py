"""One method for each thing the API does; parameters and answers are the generated types' own."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx

from catalens_client.errors import CatalensError, NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalens_client import wire

_NOT_NOW: Final = frozenset({429, 503})  # nothing was done, and the same may work a moment later
_FIRST_WAIT_S: Final = 0.1  # doubled each time, where the service does not say how long


class SimilarRequest(TypedDict, total=False):
    """What a search for similar products may ask besides the product."""

    filter: dict[str, Any]
    shares: list[str]
    differs: list[str]
    collapse: str
    diversity: float
    limit: int
    offset: int
    fields: list[str]
    explain: bool
    bundle: str


def picture(data: bytes) -> wire.ImageReference:
    """Return a picture file (JPEG, PNG, WebP or GIF) as a query holds it."""
    return {"data": base64.b64encode(data).decode()}


class Catalens:
    """A service, and a pool of connections to it. Threads may share one; close it, or use it as a context.

    Args:
        url: Where the service is.
        key: An API key, where it asks for one.
        timeout_s: The longest that a call may take, retries and all.
        retries: How often a call that changes nothing is repeated when the service says "not now" (429, 503).
    """

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 10.0, retries: int = 2) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s)
        self._timeout_s = timeout_s
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def search(self, **asked: Unpack[wire.SearchRequest]) -> wire.SearchResponse:
        """Find products by words, a picture, products or a mixture of them; or browse.

        Raises:
            CatalensError: the service refused; this and all other methods raise it.
            NoAnswerError: it was not reached, or not in time; likewise.
        """
        answer: wire.SearchResponse = self._read("POST", "/v1/search", body=asked).json()
        return answer

    def similar(self, product_id: str, **asked: Unpack[SimilarRequest]) -> wire.SearchResponse:
        """Find products like one of the catalogue."""
        answer: wire.SearchResponse = self._read("GET", f"{_path(product_id)}/similar", asked).json()
        return answer

    def classify(self, **asked: Unpack[wire.ClassifyRequest]) -> wire.ClassifyResponse:
        """Find out what category words, a picture or both are of."""
        answer: wire.ClassifyResponse = self._read("POST", "/v1/classify", body=asked).json()
        return answer

    def embed(self, **asked: Unpack[wire.EmbeddingsRequest]) -> wire.EmbeddingsResponse:
        """Return vectors of words and pictures, for an index of your own."""
        answer: wire.EmbeddingsResponse = self._read("POST", "/v1/embeddings", body=asked).json()
        return answer

    def suggest(self, q: str = "", *, limit: int | None = None) -> wire.SuggestResponse:
        """Complete what is being typed."""
        answer: wire.SuggestResponse = self._read("GET", "/v1/suggest", {"q": q, "limit": limit}).json()
        return answer

    def product(self, product_id: str, *, version: bool = False) -> wire.ProductResponse:
        """Return one product, with its version if that is asked for."""
        answer: wire.ProductResponse = self._read("GET", _path(product_id), {"version": version}).json()
        return answer

    def image(self, product_id: str, n: int = 0) -> bytes:
        """Return a small picture of a product, a JPEG."""
        return self._read("GET", f"{_path(product_id)}/images/{n}").content

    def put(self, products: Sequence[Mapping[str, Any]], *, wait: bool = False) -> wire.ProductsResponse:
        """Add, change and delete products; each has a status of its own in `results`.

        Args:
            products: At most 1,000: whole ones, or with `partial`, `delete` and `if_version` as the API has them.
            wait: Until searches see it.
        """
        answer: wire.ProductsResponse = self._send(
            "PUT", "/v1/products", {"wait": wait}, {"products": list(products)}
        ).json()
        return answer

    def delete(self, product_id: str, *, if_version: int | None = None, wait: bool = False) -> wire.DeletedResponse:
        """Delete a product, if it has this version."""
        asked = {"if_version": if_version, "wait": wait}
        answer: wire.DeletedResponse = self._send("DELETE", _path(product_id), asked).json()
        return answer

    def bundles(self) -> wire.BundlesResponse:
        """Return the bundles of the service's data folder, and which are served."""
        answer: wire.BundlesResponse = self._read("GET", "/v1/bundles").json()
        return answer

    def report(self, bundle_id: str) -> wire.ReportResponse:
        """Return what was measured of a bundle, what the gate said of it, and when it went live."""
        answer: wire.ReportResponse = self._read("GET", f"/v1/bundles/{quote(bundle_id, safe='')}/report").json()
        return answer

    def map(self, bundle_id: str, *, limit: int | None = None) -> wire.MapResponse:
        """Return a bundle's products in two dimensions. A first map takes seconds: mind `timeout_s`."""
        path = f"/v1/bundles/{quote(bundle_id, safe='')}/map"
        answer: wire.MapResponse = self._read("GET", path, {"limit": limit}).json()
        return answer

    def activate(self, bundle_id: str, *, force: bool = False) -> wire.BundlesResponse:
        """Publish a bundle and answer from it."""
        path = f"/v1/bundles/{quote(bundle_id, safe='')}/activate"
        answer: wire.BundlesResponse = self._send("POST", path, {"force": force}).json()
        return answer

    def roll_back(self) -> wire.BundlesResponse:
        """Publish the bundle that was current before the present one."""
        answer: wire.BundlesResponse = self._send("POST", "/v1/bundles/rollback").json()
        return answer

    def _read(
        self, method: str, path: str, asked: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Send what changes nothing, again where the service says "not now" and there is time."""
        until = time.monotonic() + self._timeout_s
        for tried in range(self._retries + 1):
            try:
                return self._send(method, path, asked, body, until - time.monotonic())
            except CatalensError as error:
                wait_s = _FIRST_WAIT_S * 2**tried if error.retry_after_s is None else error.retry_after_s
                last = tried == self._retries or time.monotonic() + wait_s >= until
                if error.status not in _NOT_NOW or last:
                    raise
            time.sleep(wait_s)
        raise AssertionError

    def _send(
        self,
        method: str,
        path: str,
        asked: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        limit_s = self._timeout_s if timeout_s is None else max(timeout_s, 0.001)
        try:
            answer = self._http.request(method, path, params=_parameters(asked or {}), json=body, timeout=limit_s)
        except httpx.TransportError as error:
            msg = f"{self._http.base_url}: {error or type(error).__name__}"
            raise NoAnswerError(msg) from error
        if not answer.is_success:
            raise CatalensError(answer)
        return answer


def _path(product_id: str) -> str:
    return f"/v1/products/{quote(product_id, safe='')}"


def _parameters(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query string's parameters: lists are repeated, objects are JSON."""
    stated = {name: value for name, value in asked.items() if value is not None}
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in stated.items()}
