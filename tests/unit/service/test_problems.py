"""Problems: paths, the table of statuses, and what a caller may never see."""

import json

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from service import errors, problems
from service.errors import PROBLEMS, FieldError, InvalidRequestError, OverloadedError, ProblemType, ServiceError


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (("body", "query", 0, "weight"), "query[0].weight"),
        (("body", "limit"), "limit"),
        (("query", "limit"), "limit"),
        (("body",), "body"),
        (("body", "entities", "brand name"), "entities.brand name"),
        (("body", "entities", "a.b"), 'entities["a.b"]'),
        (("body", "fields", 3), "fields[3]"),
        (("body", ""), '[""]'),
    ],
)
def test_locations_are_dotted_paths(location, path):
    assert problems.dotted(location) == path


def test_every_problem_has_its_own_title_and_but_for_two_reasons_of_409_and_of_503_its_own_status():
    stated = {kind: PROBLEMS[kind] for kind in ProblemType if kind is not ProblemType.HTTP}
    assert len({title for _, title in stated.values()}) == len(stated)
    assert stated[ProblemType.UNAVAILABLE][0] == stated[ProblemType.OVERLOADED][0] == 503
    assert stated[ProblemType.CONFLICT][0] == stated[ProblemType.BUNDLE_REFUSED][0] == 409
    assert len({status for status, _ in stated.values()}) == len(stated) - 2
    assert problems.from_http_exception(HTTPException(503)).problem is ProblemType.OVERLOADED


def test_every_service_error_has_a_row_in_the_table():
    kinds = [
        kind for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, ServiceError)
    ]  # fmt: skip
    assert len(kinds) >= 9
    for kind in kinds:
        status, title = PROBLEMS[kind.problem]
        answered = problems.from_service_error(kind("it says so", path="here"))
        assert (answered.status, answered.title, answered.detail) == (status, title, "it says so")
        assert answered.errors == (FieldError("here", "it says so"),)


def test_a_problem_is_written_as_rfc_9457_has_it():
    answer = problems.from_service_error(OverloadedError("too much", retry_after_s=3)).response("r1")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "3"
    assert answer.media_type == "application/problem+json"
    assert json.loads(answer.body) == {
        "type": "urn:catalens:problem:overloaded",
        "title": "The service is overloaded",
        "status": 503,
        "detail": "too much",
        "errors": [],
        "request_id": "r1",
    }


def test_statuses_of_the_framework_keep_their_number():
    assert problems.from_http_exception(HTTPException(404)).problem is ProblemType.NOT_FOUND
    teapot = problems.from_http_exception(HTTPException(418))
    assert (teapot.status, teapot.problem) == (418, ProblemType.HTTP)
    assert teapot.title == "I'm a Teapot"
    [error] = problems.from_http_exception(HTTPException(413, "too big")).errors
    assert error == FieldError("body", "too big")


def test_words_that_json_cannot_carry_are_replaced_and_long_ones_cut():
    error = InvalidRequestError("bad \ud800 " + "x" * 10_000, path="a\udfff")
    body = json.loads(problems.from_service_error(error).body("r"))
    assert body["detail"].startswith("bad ? xxx")
    assert len(body["detail"]) < 600
    assert body["errors"][0]["path"] == "a?"


def test_json_that_is_none_says_where():
    fault = {
        "type": "json_invalid",
        "loc": ("body", 7),
        "msg": "JSON decode error",
        "ctx": {"error": "Expecting value"},
    }
    found = problems.from_validation_error(RequestValidationError([fault]))
    assert found.status == 400
    assert found.detail == "The body is not JSON: Expecting value at character 7."
