import httpx
import pytest

from spanwire.errors import ConfigurationError
from spanwire.policies.fallback.config import Fallback, FallbackResponse


def test_there_must_be_something_to_serve():
    with pytest.raises(ConfigurationError, match="give a `response` or a `function`"):
        Fallback()


def test_an_httpx_response_is_taken_over_and_can_be_served_often():
    given = httpx.Response(202, headers={"x-a": "1"}, json={"a": 1})
    fallback = Fallback(response=given)
    first, second = fallback.response.made(), fallback.response.made()
    assert (first.status_code, first.headers["x-a"], first.json()) == (202, "1", {"a": 1})
    assert second.content == first.content
    assert second is not first


def test_headers_of_the_wire_are_not_taken_over_with_a_decoded_body():
    import gzip

    given = httpx.Response(200, headers={"content-encoding": "gzip"}, content=gzip.compress(b"plain"))
    served = Fallback(response=given).response.made()
    assert served.content == b"plain"
    assert "content-encoding" not in served.headers
    assert served.headers["content-length"] == "5"


def test_a_response_that_is_not_read_cannot_be_taken_over():
    with pytest.raises(ConfigurationError, match="its body is not read"):
        Fallback(response=httpx.Response(200, stream=httpx.ByteStream(b"x")))


def test_a_file_gives_status_headers_and_a_body():
    response = Fallback(response={"status": 503, "headers": {"retry-after": "5"}, "content": "later"}).response.made()
    assert (response.status_code, response.headers["retry-after"], response.text) == (503, "5", "later")


@pytest.mark.parametrize("body", [{"json": None}, {"json_content": None}])
def test_null_is_a_body_too(body):
    assert FallbackResponse(**body).made().content == b"null"


def test_json_says_what_it_is_unless_the_headers_say_otherwise():
    assert FallbackResponse(json=[1]).made().headers["content-type"] == "application/json"
    problem = FallbackResponse(json={}, headers={"Content-Type": "application/problem+json"})
    assert problem.made().headers["content-type"] == "application/problem+json"


def test_no_body_is_an_empty_one():
    assert FallbackResponse(status=204).made().content == b""


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"response": {"status": 99}}, ["`response.status` = 99"]),
        ({"response": {"content": "a", "json": 1}}, ["`content` and `json` are both given"]),
        ({"response": {"json": {1, 2}}}, ["`response.json`", "it is no JSON data"]),
        ({"response": {"jsn": 1}}, ["`response.jsn`", "did you mean `json`"]),
        ({"response": {}, "on_status": [99]}, ["on_status"]),
        ({"response": {}, "on_exception": ["Nope"]}, ["on_exception", "Nope"]),
        ({"function": 3}, ["function", "callable"]),
    ],
)
def test_impossible_settings_name_themselves(settings, named):
    with pytest.raises(ConfigurationError) as caught:
        Fallback(**settings)
    assert all(name in str(caught.value) for name in named), str(caught.value)
