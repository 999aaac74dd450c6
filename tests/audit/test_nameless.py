"""A SIP message without the people in it: nobody's name is left, and who talks to whom can still be followed."""

from __future__ import annotations

import pytest

from gateway.audit.nameless import ADDRESSES, CAUSES, IMPERSONAL, impersonal, without_people
from gateway.audit.redaction import CREDENTIALS, SHOWN_HEADERS, redacted
from gateway.sip.message import Request, create_response
from tests.audit.test_redaction import request

CANARY = "canaryperson"


def called(name: str) -> str:
    return f"p-{len(name):04}"


def shown(message: Request) -> str:
    return redacted(without_people(message, called))


@pytest.mark.parametrize(
    "header",
    [
        f'Contact: "{CANARY}" <sip:{CANARY}@192.0.2.1;{CANARY}=1>;+sip.instance="{CANARY}"',
        f"Contact: {CANARY} <sip:{CANARY}@192.0.2.1>, <sip:{CANARY};phone-context={CANARY}@192.0.2.1>",
        f"Refer-To: <sip:{CANARY}@h?From={CANARY}>",
        f"Referred-By: sip:{CANARY}:pw@h;cid={CANARY}",
        f'P-Asserted-Identity: "{CANARY}" <tel:{CANARY};phone-context={CANARY}>',
        f"P-Asserted-Identity: <{CANARY}:x>, {CANARY}",
        f'Diversion: <sip:{CANARY}@h>;reason="{CANARY}"',
        f"History-Info: <sip:{CANARY}@h?Reason={CANARY}>;index=1;rc={CANARY}",
        f'Reason: SIP;cause=486;text="{CANARY} is busy"',
        f'Reason: SIP;cause=486;text="{CANARY} \\" is {CANARY}',
        f'Warning: 399 gw "{CANARY}"',
        f"Subject: {CANARY}",
        f"Organization: {CANARY}",
        f"Call-Info: <https://{CANARY}>",
        f"X-Name: {CANARY}",
        f'Authorization: Digest username="{CANARY}", realm="x"',
        f'Proxy-Authorization: Digest\tusername="{CANARY}"',
        f"Diversion: <sip:{CANARY}@h",
        f"Reply-To: {CANARY}@h",
    ],
)
def test_nobody_is_named_in_any_header_field(header: str) -> None:
    assert CANARY not in shown(request(header))


@pytest.mark.parametrize("uri", [f"sip:{CANARY}@h", f"tel:{CANARY}", f"{CANARY}:x", f"sip:{CANARY}:x@h;a={CANARY}"])
def test_nobody_is_named_in_the_request_uri(uri: str) -> None:
    assert CANARY not in shown(request(uri=uri))


def test_the_reason_phrase_of_a_response_is_left_out() -> None:
    answer = create_response(request(), 486, reason=f"{CANARY} is busy", to_tag="x")
    assert redacted(without_people(answer, called)).startswith("SIP/2.0 486 \n")


def test_one_person_has_one_name_and_the_rest_of_an_address_stays() -> None:
    text = shown(
        request("Contact: <sip:alice@192.0.2.1:5070;transport=tcp>;expires=60", uri="sip:alice@pbx;user=phone")
    )
    assert text.startswith("INVITE sip:p-0005@pbx;user=phone SIP/2.0\n")
    assert "From: <sip:p-0005@example.test>;tag=a" in text
    assert "Contact: <sip:p-0005@192.0.2.1:5070;transport=tcp>;expires=60" in text


def test_a_number_is_called_as_it_is_called_in_records() -> None:
    found: list[str] = []
    without_people(request(uri="sip:+4930123456@pbx"), lambda name: found.append(name) or "p-1")  # type: ignore[func-returns-value]
    assert "+493*****56" in found
    assert not any("+4930123456" in name for name in found)


def test_a_call_for_help_shows_that_it_is_one() -> None:
    assert shown(request(uri="urn:service:sos")).startswith("INVITE urn:service:sos SIP/2.0\n")


def test_every_header_field_a_trace_shows_is_classed() -> None:
    """What is neither is withheld, so a new one is safe; these are meant to be."""
    assert SHOWN_HEADERS - ADDRESSES - IMPERSONAL - CAUSES - CREDENTIALS == {"organization", "subject"}


def test_a_description_names_nobody() -> None:
    lines = [f"o={CANARY} 1 1 IN IP4 192.0.2.1", f"s={CANARY}", f"a=ssrc:7 cname:{CANARY}@h", "m=audio 9 RTP/AVP 0"]
    assert [impersonal(line) for line in lines] == ["o=- 1 1 IN IP4 192.0.2.1", "s=-", "a=ssrc:7", lines[3]]
