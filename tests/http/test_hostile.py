"""URLs, redirects and headers out of thin air: refused, or harmless."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from django_workflows import FatalError
from django_workflows.core.headers import Headers
from django_workflows.http.exchange import Outgoing

HOSTS = st.text(st.sampled_from("az019.-_:[]@%/\\#?①。ü\u202e\x00\n &xX"), max_size=30)
PARTS = st.sampled_from(
    ["http://", "https://", "HTTP:", "//", "", "ftp://", "http:\\\\"]
)
URLS = st.one_of(st.text(), st.builds(lambda start, host: start + host, PARTS, HOSTS))


def assert_harmless(request: Outgoing) -> None:
    assert request.url.scheme in ("http", "https")
    assert request.host
    assert not set(request.host) & set("@/\\?#% \n\x00")
    assert not request.url.userinfo
    # What was checked is what is connected to, and what the server is told.
    sent = request.to("127.0.0.9")
    assert sent.url.host == "127.0.0.9"
    assert sent.url.port == request.url.port
    assert request.host in sent.headers["Host"]
    assert sent.extensions["sni_hostname"] == request.host.rstrip(".")


@given(URLS)
@example("http://[::1]:80:80/")
@example("http://a:b/")
@example("http://xn--/")
@example("http://" + "a" * 300 + "/")
@example("http://\ud800/")
def test_any_url(url: str) -> None:
    with contextlib.suppress(ValueError):
        assert_harmless(Outgoing.checked("GET", url, Headers(), None))


@given(URLS)
@example("http://[::1")
@example("http://a:b/")
@example("\ud800")
def test_any_redirect(location: str) -> None:
    start = Outgoing.checked(
        "GET", "https://a.example/x", Headers({"Authorization": "s3cret"}), None
    )
    with contextlib.suppress(FatalError):
        after = start.redirected(302, Headers({"Location": location}))
        assert after is not None
        assert_harmless(after)
        is_sent_on = "Authorization" in after.headers
        assert is_sent_on == (after.origin == ("https", "a.example", 443))


@given(st.text(), st.text(), st.text())
def test_any_method_and_header(method: str, name: str, value: str) -> None:
    with contextlib.suppress(ValueError):
        request = Outgoing.checked(
            method, "https://a.example/", Headers({name: value}), None
        )
        assert request.method.isascii()
