"""Whom a certificate speaks for (RFC 5922, RFC 6125)."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509

from gateway.trunks.names import match_sip_domain
from tests.certificates import dns, make_certificate, sip

DOMAIN = "example.com"


def ip(text: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(text))


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


@pytest.mark.parametrize(
    ("alternative_names", "name"),
    [
        (sip("example.com"), "example.com"),
        ([uri("SIP:Example.COM")], "example.com"),
        ([uri("sip:example.com:5061;transport=tls")], "example.com"),
        (dns("example.com"), "EXAMPLE.com"),
        (dns("example.com"), "example.com."),
        (dns("other.example", "example.com"), "example.com"),
        ([ip("192.0.2.1")], "192.0.2.1"),
        ([ip("2001:db8::1")], "2001:DB8:0::1"),
    ],
)
def test_a_certificate_speaks_for_each_name_it_lists(alternative_names: list[x509.GeneralName], name: str) -> None:
    certificate = make_certificate(alternative_names=alternative_names).certificate
    assert match_sip_domain(certificate, ("nobody.example", name)) == name


@pytest.mark.parametrize(
    ("alternative_names", "name"),
    [
        (sip("other.example") + dns("example.com"), "example.com"),
        (dns("*.example.com"), "pbx.example.com"),
        (dns("*.example.com"), "*.example.com"),
        (sip("*.example.com"), "pbx.example.com"),
        (dns("example.com"), "pbx.example.com"),
        (dns("pbx.example.com"), "example.com"),
        (dns("example.com.evil.example"), "example.com"),
        ([uri("sips:example.com")], "example.com"),
        ([uri("https:example.com")], "example.com"),
        (sip("user@example.com"), "example.com"),
        (sip("example.com:secret@evil.example"), "example.com"),
        (sip("example.com;x=y@evil.example"), "example.com"),
        ([x509.RFC822Name("root@example.com")], "example.com"),
        (dns("192.0.2.1"), "192.0.2.1"),
        (sip("192.0.2.1"), "192.0.2.1"),
        ([ip("192.0.2.1")], "192.0.2.10"),
        ([], "example.com"),
        (dns("example.com"), ""),
    ],
)
def test_a_certificate_speaks_for_no_other_name(alternative_names: list[x509.GeneralName], name: str) -> None:
    certificate = make_certificate("example.com", alternative_names=alternative_names).certificate
    assert match_sip_domain(certificate, (name,)) is None


def test_the_common_name_counts_only_without_alternative_names() -> None:
    assert match_sip_domain(make_certificate("Example.com").certificate, (DOMAIN,)) == DOMAIN
    assert match_sip_domain(make_certificate(DOMAIN, alternative_names=dns("x.example")).certificate, (DOMAIN,)) is None
    assert match_sip_domain(make_certificate("*.example.com").certificate, ("pbx.example.com",)) is None
    assert match_sip_domain(make_certificate("192.0.2.1").certificate, ("192.0.2.1",)) is None


def test_a_letter_that_only_lower_cases_to_ascii_is_not_that_letter() -> None:
    kelvin = make_certificate("\u212aamailio.example").certificate
    assert match_sip_domain(kelvin, ("kamailio.example",)) is None


@pytest.mark.parametrize(
    ("alternative_names", "name"),
    [
        (dns("*.example.com"), "pbx.example.com"),
        (dns("*.Example.COM"), "PBX.example.com."),
        (dns("other.example", "*.example.com"), "sbc-7.example.com"),
        (dns("*.pstn.example.com"), "sip.pstn.example.com"),
    ],
)
def test_a_wildcard_stands_for_one_label_where_it_is_allowed(
    alternative_names: list[x509.GeneralName], name: str
) -> None:
    certificate = make_certificate(alternative_names=alternative_names).certificate
    assert match_sip_domain(certificate, (name,), wildcards=True) == name
    assert match_sip_domain(certificate, (name,)) is None


@pytest.mark.parametrize(
    ("alternative_names", "name"),
    [
        (dns("*.example.com"), "example.com"),
        (dns("*.example.com"), ".example.com"),
        (dns("*.example.com"), "a.pbx.example.com"),
        (dns("*.example.com"), "pbx.example.com.evil.example"),
        (dns("*.example.com"), "pbx.evilexample.com"),
        (dns("p*.example.com"), "pbx.example.com"),
        (dns("*x.example.com"), "pbx.example.com"),
        (dns("pbx.*.com"), "pbx.example.com"),
        (dns("*.*.com"), "pbx.example.com"),
        (dns("**.example.com"), "pbx.example.com"),
        (dns("*.com"), "example.com"),
        (dns("*."), "com"),
        (dns("*"), "com"),
        (dns("*..example.com"), "pbx..example.com"),
        (sip("*.example.com"), "pbx.example.com"),
        (sip("other.example") + dns("*.example.com"), "pbx.example.com"),
        (dns("*.0.2.1"), "192.0.2.1"),
        ([ip("192.0.2.1")], "192.0.2.2"),
    ],
)
def test_no_wildcard_stands_for_anything_else(alternative_names: list[x509.GeneralName], name: str) -> None:
    certificate = make_certificate("*.example.com", alternative_names=alternative_names).certificate
    assert match_sip_domain(certificate, (name,), wildcards=True) is None


def test_a_wildcard_in_the_common_name_is_none() -> None:
    assert match_sip_domain(make_certificate("*.example.com").certificate, ("pbx.example.com",), wildcards=True) is None
