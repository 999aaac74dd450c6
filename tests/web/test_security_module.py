"""gateway-security.js, as it is served, run by Node.js: which report counts, what is unknown, how events are kept."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.base.codes import Code
from gateway.base.grades import Grade
from gateway.policy.header import Report
from tests.web.test_softphone_words import NODE

DIST = Path(__file__).resolve().parents[2] / "gateway" / "web" / "softphone" / "dist"
MODULE = DIST / "gateway-security.js"

STAGE = """
const clocks = [];
let now = 1e6;
Date.now = () => now;
globalThis.setTimeout = (act, wait) => clocks[clocks.push({ act, at: now + wait }) - 1];
globalThis.clearTimeout = (one) => { if (clocks.includes(one)) clocks.splice(clocks.indexOf(one), 1); };
globalThis.clearInterval = globalThis.clearTimeout;
globalThis.setInterval = () => ({});
const pass = (ms) => {
  now += ms;
  for (const one of clocks.filter(({ at }) => at <= now)) { clearTimeout(one); one.act(); }
};
const sockets = [];
globalThis.WebSocket = class extends EventTarget {
  constructor(url, protocol) {
    super();
    Object.assign(this, { url, protocol, sent: [], closed: false });
    sockets.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.closed = true; }
  open() { this.dispatchEvent(new Event('open')); return this; }
  hear(data) { this.dispatchEvent(Object.assign(new Event('message'), { data })); return this; }
  say(message) { return this.hear(JSON.stringify(message)); }
  end(code) { this.dispatchEvent(Object.assign(new Event('close'), { code })); return this; }
};
const message = (headers) => ({ getHeader: (name) => headers[name] });
const m = await import(process.argv[1]);
const known = { v: 1, type: 'call.security', call_id: 'c-1', sip_call_id: 'sip-1' };
const report = (seq, grade, more = {}) => ({ ...known, seq, grade, ...more });
const written = (seq, grade, more) => `grade=${grade};worst=${grade};seq=${seq};id=c-1${more}`;
const header = (seq, grade, more = '') => message({ 'Call-Security': written(seq, grade, more) });
"""


def run(script: str, *arguments: object) -> Any:
    """What a script returns that plays with the module; `a` are the arguments."""
    assert NODE is not None, "Node.js is not installed: apt-get install nodejs"
    body = f"{STAGE}\nconst a = {json.dumps(arguments)};\nconst found = await (async () => {{ {script} }})();\n"
    body += "process.stdout.write(JSON.stringify(found ?? null));"
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", body, MODULE.as_uri()],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sample(**changes: Any) -> Report:
    facts: dict[str, Any] = {
        "grade": Grade.KEY_EXPOSED,
        "worst": Grade.CLEARTEXT,
        "scope": "to Büro, Köln",
        "browser": "dtls,AEAD_AES_128_GCM,wss",
        "trunk": "sdes,AES_CM_128_HMAC_SHA1_80,tls1.3,unverified",
        "seq": 7,
        "policy": "prefer/9f3c",
        "call_id": "c-81f",
        "codes": (Code.KEY_SDES_CLEARTEXT, Code.MID_CRYPTO_REMOVED),
        "refused": (Code.MEDIA_PLAIN_RTP,),
        "tone": "insecure_beep",
        "lost": "both",
        "to_browser": True,
    }
    return Report(**facts | changes)


@pytest.mark.parametrize("changes", [{}, {"codes": (), "refused": (), "tone": "", "lost": "", "to_browser": False}])
def test_header_and_json_of_the_gateway_say_the_same_to_a_page(changes: dict[str, Any]) -> None:
    made = sample(**changes)
    by_header, by_json = run(
        "return [m.parseCallSecurity(a[0]), m.readReport(JSON.parse(a[1]))];", made.header, made.body.decode()
    )
    assert by_header == by_json
    assert (by_json["grade"], by_json["sequence"], by_json["id"]) == ("KEY_EXPOSED", 7, "c-81f")
    assert by_json["trunk"]["verified"] is False


def test_how_a_call_sounds_comes_with_the_state_and_as_it_turns_and_goes_to_its_own_session_alone() -> None:
    seen = run(
        """
        const states = [];
        const onSecurity = (key, state) => states.push([key.name, state.quality?.quality]);
        const security = new m.GatewaySecurity({ events: 'wss://x/events', onSecurity });
        const [one, two] = [{ name: 'one' }, { name: 'two' }];
        const watch = security.watch(one, { callId: 'sip-1' });
        security.watch(two, { callId: 'sip-2' });
        security.registered(message({ 'Call-Security-Ticket': 't' }));
        const socket = sockets[0].open();
        const known = { sip_call_id: 'sip-1', where: 'trunk', hears: 'you', cause: 'loss', legs: [] };
        const sound = (quality) => ({ ...known, quality });
        socket.say({ v: 1, type: 'state', seq: 1, calls: [], quality: [sound('good')] });
        socket.say({ v: 1, type: 'call.quality', seq: 2, call: sound('bad') });
        socket.say({ v: 1, type: 'call.quality', seq: 3, call: { sip_call_id: 'sip-1', quality: 'odd' } });
        const bad = m.describeQuality(security.stateOf(one).quality, 'to pbx');
        watch.end();
        socket.say({ v: 1, type: 'call.quality', seq: 4, call: sound('good') });
        return { states, bad, other: security.stateOf(two).quality, after: watch.quality.quality };
        """
    )
    assert [state for state in seen["states"] if state[1]][:2] == [["one", "good"], ["one", "bad"]]
    assert all(name == "one" for name, quality in seen["states"] if quality)
    assert seen["bad"] == "You may hear the other side badly: parts of it are lost between the gateway and pbx."
    assert (seen["other"], seen["after"]) == (None, "bad")


@pytest.mark.parametrize(
    "other",
    [
        None,
        1,
        "x",
        [],
        {},
        {"v": 2, "type": "call.security", "grade": "HOP_BY_HOP"},
        {"v": 1, "type": "x", "grade": "HOP_BY_HOP"},
        {"v": 1, "type": "call.security", "grade": "PERFECT"},
        {"v": 1, "type": "call.security", "grade": ["HOP_BY_HOP"]},
        {"v": 1, "type": "call.security", "grade": "__proto__"},
    ],
)
def test_an_object_that_is_no_report_is_none(other: object) -> None:
    assert run("return m.readReport(a[0]);", other) is None


def test_fields_of_a_wrong_kind_are_left_out() -> None:
    found = run(
        "return m.readReport({...report(1, 'CLEARTEXT'), legs: 5, codes: [1, 'x'], scope: {}, seq: 'a', tone: 3});"
    )
    assert (found["browser"], found["codes"], found["scope"], found["sequence"], found["tone"]) == (
        None,
        ["x"],
        "",
        0,
        "",
    )


# --- which report counts


def test_the_highest_number_counts_by_whatever_way_it_comes() -> None:
    states = run(
        """
        const states = [];
        const security = new m.GatewaySecurity({ onSecurity: (_, state) => states.push([state.grade, state.source]) });
        const call = security.watch('k', { callId: 'sip-1' });
        call.read(header(2, 'HOP_BY_HOP'));
        call.readInfo(JSON.stringify(report(4, 'CLEARTEXT')));
        call.read(header(3, 'HOP_BY_HOP'));
        call.take(m.readReport(report(5, 'PARTIAL')), 'events');
        call.readInfo('no json');
        call.readInfo('null');
        call.read(message({}));
        call.read(null);
        return states;
        """
    )
    assert states == [["HOP_BY_HOP", "header"], ["CLEARTEXT", "info"], ["PARTIAL", "events"]]


def test_another_call_of_the_gateway_begins_anew_and_the_one_before_counts_no_more() -> None:
    grades = run(
        """
        const call = new m.SecurityWatch();
        const grades = [];
        const take = (object) => { call.take(m.readReport(object), 'events'); grades.push(call.state.grade); };
        take(report(9, 'HOP_BY_HOP'));
        take(report(1, 'CLEARTEXT', { call_id: 'c-2' }));
        take(report(10, 'HOP_BY_HOP'));
        return grades;
        """
    )
    assert grades == ["HOP_BY_HOP", "CLEARTEXT", "CLEARTEXT"]


def test_a_call_is_unknown_until_something_is_said_and_overdue_three_seconds_after_the_answer() -> None:
    found = run(
        """
        const call = new m.SecurityWatch();
        const look = () => [call.state.grade, call.state.colour, call.state.overdue];
        const seen = [look()];
        call.accept();
        pass(2999); seen.push(look());
        pass(1); seen.push(look());
        call.read(header(1, 'CLEARTEXT')); seen.push(look());
        return seen;
        """
    )
    assert found == [
        ["UNKNOWN", "grey", False],
        ["UNKNOWN", "grey", False],
        ["UNKNOWN", "grey", True],
        ["CLEARTEXT", "red", False],
    ]


def test_a_report_in_time_is_not_overdue_and_a_call_that_ended_is_not_missed() -> None:
    assert run(
        """
        const one = new m.SecurityWatch(), other = new m.SecurityWatch();
        one.accept(); one.read(header(1, 'HOP_BY_HOP'));
        other.accept(); other.end();
        pass(5000);
        return [one.overdue, other.overdue];
        """
    ) == [False, False]


@pytest.mark.parametrize(
    ("dtls", "suite", "colour", "sees"),
    [
        ("connected", "AEAD_AES_128_GCM", "green", "confirmed"),
        ("connected", "AES_CM_128_HMAC_SHA1_32", "amber", "contradicted"),
        ("failed", "", "amber", "contradicted"),
        ("closed", "AEAD_AES_128_GCM", "amber", "contradicted"),
        ("connecting", "", "grey", "checking"),
        ("new", "", "grey", "checking"),
    ],
)
def test_green_is_shown_only_where_the_browser_itself_agrees(dtls: str, suite: str, colour: str, sees: str) -> None:
    found = run(
        """
        const call = new m.SecurityWatch();
        const stats = new Map([['t', { type: 'transport', dtlsState: a[0], srtpCipher: a[1] }]]);
        call.attach({ addEventListener() {}, getStats: async () => stats });
        call.read(header(1, 'HOP_BY_HOP', ';browser="dtls,AEAD_AES_128_GCM,wss"'));
        call.accept();
        await call.look();
        return [call.state.colour, call.state.browserSees];
        """,
        dtls,
        suite,
    )
    assert found == [colour, sees]


def test_the_tone_is_wanted_once_before_the_sound_and_again_for_another_fall() -> None:
    outgoing, incoming = run(
        """
        const play = (incoming) => {
          const tones = [];
          const call = new m.SecurityWatch({ incoming, onTone: (tone) => tones.push([tone, call.answered]) });
          const say = (seq, tone) => call.take(m.readReport(report(seq, 'CLEARTEXT', { tone })), 'events');
          say(1, 'insecure_beep'); say(2, 'insecure_beep');
          call.accept();
          say(3, 'insecure_beep'); say(4, ''); say(5, 'insecure_beep');
          return tones;
        };
        return [play(false), play(true)];
        """
    )
    assert outgoing == [["insecure_beep", False], ["insecure_beep", True]]
    assert incoming == [["insecure_beep", True], ["insecure_beep", True]]


def test_a_page_may_play_its_own_tone_or_none() -> None:
    assert run(
        """
        const heard = [];
        for (const tone of [(name, key) => heard.push([name, key]), false]) {
          const call = new m.GatewaySecurity({ tone }).watch('k', { callId: 'sip-1' });
          call.take(m.readReport(report(1, 'CLEARTEXT', { tone: 'insecure_beep' })), 'events');
        }
        return heard;
        """
    ) == [["insecure_beep", "k"]]


# --- the event socket

SIGNED_IN = """
const states = [], live = [];
const security = new m.GatewaySecurity({
  events: 'wss://gw/events', onEvents: (up) => live.push(up), onSecurity: (key, { grade }) => states.push([key, grade]),
});
const ticket = (value) => security.registered(message({ 'Call-Security-Ticket': value }));
const state = (seq, calls, more = {}) => ({ v: 1, type: 'state', seq, calls, ...more });
const news = (seq, call) => ({ v: 1, type: 'call.security', seq, call });
"""


def test_the_ticket_of_a_register_opens_it_and_is_shown_in_the_first_message() -> None:
    found = run(
        SIGNED_IN
        + """
        security.registered(message({}));
        const before = sockets.length;
        ticket('T1');
        sockets[0].open();
        return [before, sockets[0].url, sockets[0].protocol, sockets[0].sent];
        """
    )
    assert found == [0, "wss://gw/events", "call-security", [{"v": 1, "type": "hello", "ticket": "T1"}]]


def test_state_and_changes_reach_the_calls_they_are_about_and_no_others() -> None:
    states = run(
        SIGNED_IN
        + """
        security.watch('mine', { callId: 'sip-1' });
        security.watch('other', { callId: 'sip-2' });
        ticket('T1');
        sockets[0].open().say(state(1, [report(1, 'HOP_BY_HOP')]));
        sockets[0].say(news(2, report(2, 'CLEARTEXT')));
        sockets[0].say(news(3, report(9, 'PARTIAL', { sip_call_id: 'sip-9' })));
        return states;
        """
    )
    assert states == [["mine", "HOP_BY_HOP"], ["mine", "CLEARTEXT"]]


def test_what_was_told_before_the_page_has_its_session_is_not_lost() -> None:
    assert run(
        SIGNED_IN
        + """
        ticket('T1');
        sockets[0].open().say(state(1, [])).say(news(2, report(1, 'CLEARTEXT')));
        security.watch('late', { callId: 'sip-1' });
        return states;
        """
    ) == [["late", "CLEARTEXT"]]


def test_a_gap_is_noticed_the_whole_is_asked_for_once_and_counting_goes_on_from_there() -> None:
    sent, states = run(
        SIGNED_IN
        + """
        security.watch('k', { callId: 'sip-1' });
        ticket('T1');
        sockets[0].open().say(state(1, []));
        sockets[0].say(news(3, report(1, 'HOP_BY_HOP'))).say(news(4, report(2, 'HOP_BY_HOP')));
        sockets[0].say(state(5, [report(3, 'CLEARTEXT')])).say(news(6, report(4, 'PARTIAL')));
        return [sockets[0].sent.slice(1), states];
        """
    )
    assert sent[0] == {"v": 1, "type": "resync"}
    assert states == [["k", "CLEARTEXT"], ["k", "PARTIAL"]]
    assert len(sent) == 1


def test_a_socket_that_was_cut_is_opened_again_with_the_ticket_of_the_state_less_and_less_often() -> None:
    shown, waits = run(
        SIGNED_IN
        + """
        Math.random = () => 0.5;
        const waits = [];
        const again = () => { waits.push(clocks.at(-1).at - now); pass(waits.at(-1)); };
        ticket('T1');
        sockets[0].open().say(state(1, [], { ticket: 'T2' })).end(4008);
        again();
        sockets[1].end(1006);  // nobody was there: the ticket is still good
        again();
        sockets[2].end(1006);
        again();
        sockets[3].open().say(state(1, [], { ticket: 'T3' })).end(1006);
        again();
        sockets[4].open();
        return [sockets.map(({ sent }) => sent[0]?.ticket ?? ''), waits];
        """
    )
    assert shown == ["T1", "", "", "T2", "T3"]
    assert waits == [500, 1000, 2000, 500]


@pytest.mark.parametrize("code", [4001, 4003])
def test_who_is_signed_out_waits_for_the_next_register(code: int) -> None:
    assert run(
        SIGNED_IN
        + """
        ticket('T1');
        sockets[0].open().end(a[0]);
        pass(60000);
        const before = sockets.length;
        ticket('T2');
        return [before, sockets.length, live];
        """,
        code,
    ) == [1, 2, []]


def test_whether_it_is_up_is_told_and_a_page_that_signs_out_asks_for_nothing_more() -> None:
    assert run(
        SIGNED_IN
        + """
        ticket('T1');
        sockets[0].open().say(state(1, [], { ticket: 'T2' }));
        const up = security.eventsLive;
        security.close();
        sockets[0].end(1000);
        pass(60000);
        return [up, security.eventsLive, live, sockets.length, sockets[0].closed];
        """
    ) == [True, False, [True, False], 1, True]


@pytest.mark.parametrize("said", ["", "x", "null", "[]", "5", '{"v":2,"type":"state","seq":1,"calls":[]}', '{"v":1}'])
def test_what_is_no_message_of_ours_changes_nothing(said: str) -> None:
    assert run(
        SIGNED_IN
        + """
        ticket('T1');
        sockets[0].open().hear(a[0]);
        return [live, sockets[0].sent.length];
        """,
        said,
    ) == [[], 1]


# --- what is served


def test_the_module_has_no_dependencies_and_its_types_name_what_it_exports() -> None:
    text, types = MODULE.read_text(), (DIST / "gateway-security.d.ts").read_text()
    assert not re.search(r"^\s*import\b|\brequire\(|innerHTML|\beval\(|new Function", text, re.MULTILINE)
    exported = set(re.findall(r"\w+", re.search(r"export \{([^}]*)\}", text)[1]))  # type: ignore[index]
    declared = set(re.findall(r"export (?:class|const|function) (\w+)", types))
    assert exported == declared


def test_the_state_has_the_fields_its_types_and_its_documentation_name() -> None:
    state = run("return new m.SecurityWatch().state;")
    types = (DIST / "gateway-security.d.ts").read_text().split("interface SecurityState {")[1].split("\n}")[0]
    assert set(state) == set(re.findall(r"^  (\w+):", types, re.MULTILINE))
    docs = (DIST.parents[3] / "docs" / "web-developers.md").read_text().split("| `state` | |")[1].split("\n\n")[0]
    assert set(state) <= set(re.findall(r"`(\w+)`", docs))


def test_the_methods_its_types_name_are_there() -> None:
    types = (DIST / "gateway-security.d.ts").read_text().split("class GatewaySecurity")[1].split("\n}")[0]
    names = re.findall(r"^  (?:readonly )?(\w+)[(:<]", types, re.MULTILINE)
    names = [name for name in names if name != "constructor"]
    assert run("const s = new m.GatewaySecurity(); return a[0].filter((name) => !(name in s));", names) == []
