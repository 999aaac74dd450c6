"""Dialogs: state from both sides, routing, sequence numbers, targets and forks (RFC 3261 12)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import SipError
from gateway.sip import dialog as dialog_module
from gateway.sip.address import NameAddr
from gateway.sip.dialog import Dialog, InviteDialogs, request_dialog_key
from gateway.sip.message import Headers, Request, Response, create_response
from gateway.sip.uri import SipUri
from tests.sip.fake_wire import read_request, request

OURS = NameAddr.parse("<sip:gw@192.0.2.2:5060;transport=tcp>")
P1, P2, P3 = "<sip:p1.example;lr>", "<sip:p2.example;lr>", "<sip:p3.example;lr>"


def _invite(*extra: str) -> Request:
    return request("INVITE", cseq=7, extra=["Contact: <sip:alice@192.0.2.1:5060>", *extra])


def _response(
    status: int, *, tag: str = "bob", contact: str = "<sip:bob@192.0.2.9>", routes: Sequence[str] = ()
) -> Response:
    headers = [("Contact", contact)] if contact else []
    headers += [("Record-Route", route) for route in routes]
    return create_response(_invite(), status, to_tag=tag, headers=headers)


# --- what a dialog is made of


def written(hops: Iterable[NameAddr]) -> list[str]:
    return [str(hop) for hop in hops]


def test_the_side_that_was_called_takes_record_route_as_it_came() -> None:
    dialog = Dialog.uas(_invite(f"Record-Route: {P1}, {P2}", f"Record-Route: {P3}"), "gw-tag")
    assert dialog.key == ("call-1", "gw-tag", "alice")
    assert str(dialog.local) == "<sip:bob@example.org>;tag=gw-tag"
    assert str(dialog.remote) == "<sip:alice@example.org>;tag=alice"
    assert (dialog.local_seq, dialog.remote_seq) == (0, 7)
    assert str(dialog.remote_target) == "sip:alice@192.0.2.1:5060"
    assert written(dialog.route_set) == [P1, P2, P3]


def test_the_side_that_called_takes_record_route_in_reverse() -> None:
    dialog = Dialog.uac(_invite(), _response(200, routes=[P1, f"{P2},{P3}"]))
    assert dialog.key == ("call-1", "alice", "bob")
    assert str(dialog.local) == "<sip:alice@example.org>;tag=alice"
    assert str(dialog.remote) == "<sip:bob@example.org>;tag=bob"
    assert (dialog.local_seq, dialog.remote_seq) == (7, None)
    assert str(dialog.remote_target) == "sip:bob@192.0.2.9"
    assert written(dialog.route_set) == [P3, P2, P1]
    assert dialog.confirmed


def test_both_sides_of_one_call_name_the_same_dialog() -> None:
    invite = _invite()
    called = Dialog.uas(invite, "bob")
    caller = Dialog.uac(invite, _response(200))
    assert called.key == (caller.call_id, caller.remote_tag, caller.local_tag)
    bye = caller.new_request("BYE", OURS)
    assert request_dialog_key(bye) == called.key


@pytest.mark.parametrize("contact", ["", "Contact: *", "Contact: <mailto:a@b>", "Contact: <tel:+4930>"])
def test_a_request_without_a_usable_contact_creates_no_dialog(contact: str) -> None:
    with pytest.raises(SipError) as caught:
        Dialog.uas(request("INVITE", extra=[contact] if contact else []), "x")
    assert caught.value.status == 400


def test_a_ringing_phone_that_forgot_its_contact_is_reached_where_the_invite_went() -> None:
    assert str(Dialog.uac(_invite(), _response(180, contact="")).remote_target) == "sip:bob@192.0.2.2"


def test_peers_without_tags_make_dialogs_with_empty_tags() -> None:
    invite = _invite().with_header("From", "sip:old@phone.example")
    assert Dialog.uas(invite, "x").key == ("call-1", "x", "")
    assert Dialog.uac(_invite(), _response(200, tag="")).key == ("call-1", "alice", "")


# --- requests inside


def _dialog(routes: Sequence[str] = (), target: str = "<sip:bob@192.0.2.9;transport=tcp>") -> Dialog:
    return Dialog.uac(_invite(), _response(200, contact=target, routes=routes))


def test_a_request_has_the_next_number_both_tags_and_no_via() -> None:
    dialog = _dialog()
    first, second = dialog.new_request("INVITE", OURS), dialog.new_request("BYE", OURS, max_forwards=12)
    assert (str(first.cseq), str(second.cseq)) == ("8 INVITE", "9 BYE")
    assert first.headers.items() == [
        ("Max-Forwards", "70"),
        ("From", "<sip:alice@example.org>;tag=alice"),
        ("To", "<sip:bob@example.org>;tag=bob"),
        ("Call-ID", "call-1"),
        ("CSeq", "8 INVITE"),
        ("Contact", str(OURS)),
    ]
    assert second.max_forwards == 12
    assert "Contact" not in second.headers


def test_the_called_side_begins_its_own_numbers_at_one() -> None:
    assert str(Dialog.uas(_invite(), "x").new_request("BYE", OURS).cseq) == "1 BYE"


def test_a_contact_that_is_a_full_value_is_taken_as_it_is() -> None:
    value = f'"Gateway" {OURS};+sip.ice'
    assert _dialog().new_request("UPDATE", NameAddr.parse(value)).headers.get("Contact") == value
    assert "Contact" not in _dialog().new_request("UPDATE", None).headers


def test_without_a_route_set_the_request_goes_to_the_target() -> None:
    dialog = _dialog()
    assert dialog.new_request("BYE", OURS).uri == str(dialog.next_hop) == "sip:bob@192.0.2.9;transport=tcp"


def test_a_loose_router_comes_first_in_route_and_the_target_stays_the_request_uri() -> None:
    dialog = _dialog([P1, P2])
    bye = dialog.new_request("BYE", OURS)
    assert bye.uri == "sip:bob@192.0.2.9;transport=tcp"
    assert bye.headers.get_all("Route") == [P2, P1]
    assert str(dialog.next_hop) == "sip:p2.example;lr"


def test_a_strict_router_becomes_the_request_uri_and_the_target_the_last_route() -> None:
    dialog = _dialog([P1, "<sip:old.example;method=INVITE?a=b>"])
    bye = dialog.new_request("BYE", OURS)
    assert bye.uri == "sip:old.example"
    assert bye.headers.get_all("Route") == [P1, "<sip:bob@192.0.2.9;transport=tcp>"]


def test_a_request_uri_has_no_headers_and_no_method() -> None:
    dialog = _dialog(target="<sip:bob@192.0.2.9;method=BYE;x=y?Subject=hi>")
    assert dialog.new_request("BYE", OURS).uri == "sip:bob@192.0.2.9;x=y"


def test_an_ack_has_the_number_of_its_invite_and_the_route_of_the_dialog() -> None:
    dialog = _dialog([P1])
    dialog.new_request("INVITE", OURS)
    dialog.new_request("INFO", OURS)
    ack = dialog.ack(8, OURS)
    assert (ack.method, str(ack.cseq), ack.uri) == ("ACK", "8 ACK", "sip:bob@192.0.2.9;transport=tcp")
    assert ack.headers.get_all("Route") == [P1]
    assert dialog.local_seq == 9


def test_numbers_end_below_2_to_the_31() -> None:
    dialog = _dialog()
    dialog.local_seq = 2**31 - 1
    with pytest.raises(SipError):
        dialog.new_request("BYE", OURS)


def test_a_contact_cannot_open_a_header_field() -> None:
    with pytest.raises(SipError):
        _dialog().new_request("INVITE", NameAddr("", SipUri("sip", None, None, "x>\r\nEvil: 1", None)))


# --- requests of the peer


def test_an_older_request_of_the_peer_is_refused_500_and_gaps_are_fine() -> None:
    dialog = Dialog.uas(_invite(), "gw")
    dialog.accept_sequence(request("INFO", cseq=9))
    with pytest.raises(SipError) as caught:
        dialog.accept_sequence(request("BYE", cseq=8))
    assert caught.value.status == 500
    assert dialog.remote_seq == 9
    dialog.accept_sequence(request("BYE", cseq=10))


def test_the_first_request_of_the_peer_sets_its_number() -> None:
    dialog = _dialog()
    dialog.accept_sequence(request("BYE", cseq=0))
    assert dialog.remote_seq == 0


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_ack_and_cancel_repeat_the_number_of_their_invite(method: str) -> None:
    dialog = Dialog.uas(_invite(), "gw")
    dialog.accept_sequence(request("INFO", cseq=9))
    dialog.accept_sequence(request(method, cseq=7))
    assert dialog.remote_seq == 9


# --- target refresh

MOVED = "Contact: <sip:alice@198.51.100.7:5062>"


@pytest.mark.parametrize(("method", "moves"), [("INVITE", True), ("UPDATE", True), ("INFO", False), ("BYE", False)])
def test_only_a_re_invite_or_update_moves_the_target(method: str, moves: bool) -> None:
    dialog = Dialog.uas(_invite(), "gw")
    dialog.refresh_target(request(method, cseq=8, extra=[MOVED]))
    assert str(dialog.remote_target) == ("sip:alice@198.51.100.7:5062" if moves else "sip:alice@192.0.2.1:5060")


@pytest.mark.parametrize(
    ("method", "status", "moves"),
    [
        ("INVITE", 200, True),
        ("UPDATE", 200, True),
        ("INVITE", 183, False),
        ("INVITE", 488, False),
        ("INFO", 200, False),
    ],
)
def test_of_the_responses_only_a_2xx_to_those_moves_the_target(method: str, status: int, moves: bool) -> None:
    dialog = _dialog()
    sent = dialog.new_request(method, OURS)
    sent = sent.with_headers(Headers([("Via", "SIP/2.0/UDP x;branch=z9hG4bK1")]) + sent.headers)
    dialog.refresh_target(create_response(sent, status, headers=[("Contact", "<sip:new@192.0.2.10>")]))
    assert str(dialog.remote_target) == ("sip:new@192.0.2.10" if moves else "sip:bob@192.0.2.9;transport=tcp")


@pytest.mark.parametrize("contact", [(), ("Contact: *",), ("Contact: <http://evil.example>",)])
def test_a_re_invite_without_a_usable_contact_leaves_the_target(contact: Sequence[str]) -> None:
    dialog = Dialog.uas(_invite(), "gw")
    dialog.refresh_target(request("INVITE", cseq=8, extra=contact))
    assert str(dialog.remote_target) == "sip:alice@192.0.2.1:5060"


def test_a_target_refresh_leaves_the_route_set() -> None:
    dialog = Dialog.uas(_invite(f"Record-Route: {P1}"), "gw")
    dialog.refresh_target(request("INVITE", cseq=8, extra=[MOVED, f"Record-Route: {P2}"]))
    assert written(dialog.route_set) == [P1]


# --- forks


def test_each_to_tag_is_a_dialog_of_its_own() -> None:
    dialogs = InviteDialogs(_invite())
    first = dialogs.take(_response(180, tag="one"))
    second = dialogs.take(_response(183, tag="two"))
    assert first is not None
    assert second is not None
    assert (first.remote_tag, second.remote_tag) == ("one", "two")
    assert dialogs.take(_response(180, tag="one")) is first
    assert not first.confirmed
    assert len(dialogs) == 2


@pytest.mark.parametrize("response", [_response(100, tag=""), _response(180, tag=""), _response(486), _response(302)])
def test_100_failures_and_untagged_provisional_responses_make_no_dialog(response: Response) -> None:
    assert InviteDialogs(_invite()).take(response) is None


def test_the_2xx_confirms_an_early_dialog_with_route_set_and_target_of_its_own() -> None:
    dialogs = InviteDialogs(_invite())
    early = dialogs.take(_response(180, routes=[P1]))
    assert early is not None
    prack = early.new_request("PRACK", OURS)
    answered = dialogs.take(_response(200, contact="<sip:bob@192.0.2.77>", routes=[P1, P2]))
    assert answered is early
    assert early.confirmed
    assert (str(early.remote_target), written(early.route_set)) == ("sip:bob@192.0.2.77", [P2, P1])
    assert early.local_seq == prack.cseq.number == 8
    dialogs.take(_response(200, contact="<sip:moved@192.0.2.78>"))
    assert str(early.remote_target) == "sip:bob@192.0.2.77"


def test_a_2xx_without_any_tag_is_still_a_dialog_that_can_be_ended() -> None:
    dialog = InviteDialogs(_invite()).take(_response(200, tag=""))
    assert dialog is not None
    assert dialog.new_request("BYE", OURS).to.tag is None


def test_forks_beyond_the_limit_are_answered_but_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog_module, "MAX_EARLY_DIALOGS", 2)
    dialogs = InviteDialogs(_invite())
    taken = [dialogs.take(_response(200, tag=f"t{i}")) for i in range(4)]
    assert [dialog.remote_tag for dialog in taken if dialog is not None] == ["t0", "t1", "t2", "t3"]
    assert len(dialogs) == 2


# --- whatever the peer writes

HOST = st.sampled_from(["192.0.2.1", "[2001:db8::1]", "p.example"])
PARAMS = st.sampled_from(["", ";lr", ";lr=on", ";transport=tcp;lr", ";maddr=1.2.3.4", ";ttl=1"])
NAME = st.sampled_from(["", '"x,y" '])
TAIL = st.sampled_from(["", "?h=v"])
ROUTE = st.builds(lambda host, params, name: f"{name}<sip:{host}{params}>", HOST, PARAMS, NAME)
TARGET = st.builds(lambda host, params, tail: f"<sip:u@{host}{params}{tail}>", HOST, PARAMS, TAIL)


@given(
    routes=st.lists(ROUTE, max_size=5),
    target=TARGET,
    method=st.sampled_from(["BYE", "INVITE", "UPDATE", "INFO"]),
)
def test_every_request_of_a_dialog_parses_and_comes_back_to_it(routes: list[str], target: str, method: str) -> None:
    invite = request("INVITE", extra=[f"Contact: {target}", *(f"Record-Route: {route}" for route in routes)])
    dialog = Dialog.uas(invite, "gw")
    sent = dialog.new_request(method, OURS)
    sent = sent.with_headers(Headers([("Via", "SIP/2.0/UDP x;branch=z9hG4bK1")]) + sent.headers)
    again = read_request(bytes(sent))
    assert request_dialog_key(again) == ("call-1", "alice", "gw")
    assert len(again.route) == len(routes)
    assert again.request_uri.headers == ""
