"""What is known of connections, on passed-in time."""

from __future__ import annotations

from gateway.base.values import HostPort
from gateway.call.registration.book import GRACE_SECONDS, MAX_NONCES, MAX_PLACES, Book, Registered
from gateway.sip.digest_relay import Given
from gateway.sip.flow import Flow
from gateway.sip.message import Headers, Request
from gateway.sip.uri import SipUri


def flow(number: int) -> Flow:
    return Flow(number, "wss", HostPort("127.0.0.1", 443), HostPort("192.0.2.1", 1000 + number))


def place(name: str, number: int, until: float = 100.0, user: str = "alice") -> Registered:
    uri = SipUri.parse(f"sip:{user}@p{number}.invalid")
    return Registered(
        name, user, flow(number), uri, until, "<sip:x@gw>", Request("REGISTER", "sip:x", Headers()), Given()
    )


def test_a_connection_is_somebody_while_one_of_its_places_lives_and_a_little_longer() -> None:
    book = Book()
    assert book.proved(flow(1), "alice", "alice-login")
    assert book.user_of(flow(1), 0.0) is None
    book.bind(place("a", 1, until=100.0))
    book.bind(place("b", 1, until=50.0))
    assert book.user_of(flow(1), 100.0) == "alice"
    assert book.username_of(flow(1)) == "alice-login"
    assert book.user_of(flow(1), 100.0 + GRACE_SECONDS) is None


def test_a_connection_never_becomes_somebody_else() -> None:
    book = Book()
    assert book.proved(flow(1), "alice", "alice")
    assert not book.proved(flow(1), "bob", "bob")
    assert book.username_of(flow(1)) == "alice"


def test_a_place_moves_with_its_device_and_its_old_connection_cannot_give_it_up() -> None:
    book = Book()
    book.bind(place("a", 1))
    book.bind(place("a", 2))
    book.unbind("a", flow(1))
    found = book.find("a", 0.0)
    assert found is not None
    assert found.flow.id == 2
    assert book.forget(flow(1)) == []
    assert [gone.name for gone in book.forget(flow(2))] == ["a"]
    assert (len(book), book.places) == (0, 0)


def test_a_place_is_not_found_when_its_time_is_over() -> None:
    book = Book()
    book.bind(place("a", 1, until=100.0))
    assert book.find("a", 99.9) is not None
    assert book.find("a", 100.0) is None
    assert not book.has("a")


def test_without_any_place_a_connection_is_nobody() -> None:
    book = Book()
    book.proved(flow(1), "alice", "alice")
    for name in ("a", "b"):
        book.bind(place(name, 1))
    book.unbind("a", flow(1))
    assert book.user_of(flow(1), 0.0) == "alice"
    book.unbind("b", flow(1))
    assert book.user_of(flow(1), 0.0) is None


def test_places_that_have_run_out_make_room_for_others() -> None:
    book = Book()
    for number in range(MAX_PLACES):
        book.bind(place(f"a{number}", 1, until=10.0))
    assert not book.has_room(flow(1), ["b"], 9.0)
    assert book.has_room(flow(1), ["a0"], 9.0)
    assert book.has_room(flow(1), ["b"], 10.0)


def test_only_the_last_nonces_are_known() -> None:
    book = Book()
    book.challenged(flow(1), [f"n{number}" for number in range(100)])
    assert len(book.of(flow(1)).nonces) == MAX_NONCES
    assert "n99" in book.of(flow(1)).nonces
    assert "n99" not in book.of(flow(2)).nonces


def test_neither_credentials_nor_nonces_are_printed() -> None:
    book = Book()
    book.challenged(flow(1), ["secret-nonce"])
    book.bind(place("a", 1))
    assert "secret" not in repr(book.of(flow(1)))
    assert "Given" not in repr(book.find("a", 0.0))
