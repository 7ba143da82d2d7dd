from email.utils import format_datetime, formatdate
from random import Random

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spanwire.policies import retry_after

NOW = 1_750_000_000.0


def asked(**headers):
    return retry_after.asked(httpx.Headers({name.replace("_", "-"): text for name, text in headers.items()}), NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("9" * 5000, float("inf")),
        (formatdate(NOW + 90, usegmt=True), 90),
        ("Sunday, 15-Jun-25 15:08:20 GMT", 100),
        ("Sun Jun 15 15:08:20 2025", 100),
        (formatdate(NOW - 3600, usegmt=True), 0),
    ],
)
def test_seconds_and_all_three_date_formats_are_read(text, seconds):
    assert asked(retry_after=text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "-5", "soon", "1e3", "inf", "nan", "٣", "²", "0x10", "1,2", "Mon, 99 Foo 9999", "+3", "99 Jan 99999 00:00"],
)
def test_what_cannot_be_understood_asks_for_nothing(text):
    headers = httpx.Headers([(b"retry-after", text.encode())])
    assert retry_after.asked(headers, NOW) is None


def test_milliseconds_are_read_too():
    assert asked(retry_after_ms="1200") == 1.2
    assert asked(retry_after_ms="soon") is None


def test_of_several_the_longest_counts_so_that_none_is_kept_short():
    assert asked(retry_after_ms="350", retry_after="1") == 1
    assert asked(retry_after_ms="3500", retry_after="1") == 3.5
    headers = httpx.Headers([("retry-after", "2"), ("retry-after", "5"), ("retry-after", "x")])
    assert retry_after.asked(headers, NOW) == 5


def test_a_date_is_compared_with_the_origins_own_clock():
    ahead = NOW + 7200  # the origin's clock is two hours ahead of ours
    assert asked(retry_after=formatdate(ahead + 5, usegmt=True), date=formatdate(ahead, usegmt=True)) == 5
    assert asked(retry_after=formatdate(NOW + 5, usegmt=True), date="nonsense") == 5


def test_nothing_said_is_nothing_asked():
    assert asked() is None
    assert not retry_after.is_there(httpx.Headers())
    assert retry_after.is_there(httpx.Headers({"Retry-After": "?"}))
    assert retry_after.is_there(httpx.Headers({"Retry-After-Ms": "5"}))


@given(st.text(max_size=60), st.text(max_size=60))
@example("Mon, 01 Jan 99999999 00:00:00 GMT", "0")
@example("Mon, 01 Jan 0000 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 +2359")
def test_reading_never_raises_and_is_never_negative(text, date):
    headers = httpx.Headers(
        [
            (name, said.encode("utf-8", "replace"))
            for name in (b"retry-after", b"retry-after-ms", b"x-should-retry")
            for said in (text, date)
        ]
        + [(b"date", date.encode("utf-8", "replace"))]
    )
    seconds = retry_after.asked(headers, NOW)
    assert seconds is None or seconds >= 0
    assert retry_after.should_retry(headers) in (True, False, None)


@given(st.datetimes())
def test_every_date_is_read_or_left(date):
    seconds = asked(retry_after=format_datetime(date))
    assert seconds is None or seconds >= 0


@given(st.floats(0, 1e6), st.randoms(use_true_random=False))
def test_what_was_asked_for_is_never_shortened(seconds, random):
    wait = retry_after.floor(seconds, random)
    assert seconds <= wait <= seconds + min(5, 0.2 * seconds) + 1e-9


def test_an_endless_wait_stays_endless():
    assert retry_after.floor(float("inf"), Random(1)) == float("inf")


@pytest.mark.parametrize(("text", "said"), [("true", True), ("FALSE ", False), ("maybe", None), ("", None)])
def test_x_should_retry_is_true_false_or_nothing(text, said):
    assert retry_after.should_retry(httpx.Headers({"x-should-retry": text})) is said
