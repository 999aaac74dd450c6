"""The relay protocol: what the gateway tells a relay worker, and what the worker tells back.

A relay worker is a separate process that owns the sockets media flows through. The gateway process never touches
a media packet; it opens legs, gives keys, says who hears whom, and listens to events. A worker in another language can
replace the one in `gateway.media.worker` as long as it speaks what is written here; `tests/media` is its acceptance
test. The messages are the dataclasses of `relay_commands` and `relay_events`, the numbers those of `relay_counters`
and `relay_quality`; `relay_codec` puts them on the wire.

Transport
    One `AF_UNIX` `SOCK_SEQPACKET` socket pair per worker. The worker inherits its end; the number of the
    descriptor is in the start configuration (`WorkerConfig`), a JSON object and the only command-line argument; it
    never holds a secret. It names the messages the gateway knows (`dialect`): a worker that knows others, as after an
    upgrade on disk, does not start beside that gateway. One packet is one message or several, up to `MAX_TOGETHER`,
    each behind its length in 4 octets; messages keep their order. A packet that is not so made a worker ignores and
    counts, and the gateway gives the worker up. End of file, on either side, means that the other process is gone: the
    worker exits, the gateway calls every call of the worker lost.

Message
    ::

        +----------------+------------------------------+------------------------------+
        | header length  | header, JSON (UTF-8)         | octet strings, concatenated  |
        | 4 octets, big  | {"type": ..., "call": ...}   | keys and DTLS datagrams      |
        +----------------+------------------------------+------------------------------+

    `type` is the name of a dataclass, `call` the number of the call it is about; the other members are its fields. An
    octet string is written in the header as its length and carried behind it, in the order of the fields: no key is
    ever JSON text. `HostPort` is `[host, port]`, a tuple is a list, another dataclass in a field is an object, with its
    `type` where there are several kinds. A message is at most `MAX_MESSAGE` octets. A message that breaks these rules
    raises `MediaError`; a worker ignores it and counts it, the gateway gives the worker up.

Call and leg
    A *call* is a group of legs that may be routed to each other; no media ever passes from one call to another. Its
    number is chosen by the gateway and never used twice by one worker; 0 (`WORKER`) is the worker itself. A call begins
    with its first leg and is gone with `CloseCall`.

    A *leg* is where one peer sends and is sent to. Inside its call it has a small number (`LegId`), which is not used
    again there. It has protection, a source rule and one outgoing *stream*: what its peer receives is one SSRC, one
    sequence and one timestamp space, whoever is heard. There are two kinds: `IcePort`, behind the port all browsers of
    the worker share (ICE-lite, DTLS, always keyed, RTP and RTCP muxed), and `OwnPort`, a pair of ports of its own (RTP
    or SRTP, RTCP on the next one or muxed; its keys may come from DTLS on these ports, and its peer may check paths).
    Legs come and go at any time while others run.

    A *route* is one direction: the media of the peer of its `source` leaves on its `sink`, as its plan says. A leg is
    the sink of one route at most, whom it hears; any number of legs may hear it. RTCP ends at the leg it comes to, and
    every leg reports to its peer. A leg nobody hears is still authenticated, latched, watched and counted.

    ====================  ==========================================================================================
    Command               Effect
    ====================  ==========================================================================================
    `OpenLeg`             `IcePort`: starts to answer STUN checks for its `ufrag`; `OwnPort`: binds its ports.
                          Answered by `LegOpened` or `LegFailed`, whichever comes first, exactly once.
    `Adopt`               Moves a leg of another call of this worker into this one, under a number of its own. Name,
                          ports, paths, keys, source rule, stream and counters stay, so its peer notices nothing; the
                          routes it had end both ways, and what happens to it from now on is told of this call.
                          Answered by `LegAdopted` or `LegFailed`, exactly once; the other call hears `LegClosed` with
                          the numbers so far.
    `SetIce`              Starts to answer checks for another `ufrag` too: an ICE restart (RFC 8839 4.4), or the first
                          name of an `OwnPort` leg. Media and
                          DTLS go on over the paths there are. The name before goes with the first check under the new
                          one that nominates; of more than two names the one nobody nominated goes first. A name that
                          another leg has is refused. After `ConsentLost` the name before is not answered again, and
                          consent may be had anew under this one (RFC 7675 5.1).
    `SetKeys`             Installs the SRTP keys of a leg. A direction whose key is unchanged keeps its context, so its
                          roll-over counter and replay window live on (RFC 3711 3.2.1). A leg that was plain is keyed
                          from then on, until `SetPeer` says otherwise. Where RTCP has a port of its own and DTLS makes
                          the keys, those of RTP and of RTCP are set apart (`component`); until they are, SRTCP neither
                          comes nor goes.
    `DropKeys`            The keys of a leg are used no more, because somebody else's will come: it stays keyed, and
                          nothing is heard and nothing leaves until `SetKeys`. What they protected is remembered.
    `SetPeer`             Says where the media of an `OwnPort` leg is expected from and sent to, and whether it is
                          keyed. Other values forget what was learned; the same ones again only start anew the time in
                          which the signalled address must be silent before another is learned. `dtls`: its keys come
                          from DTLS on the ports of the leg. `ice`: where it sends from and is sent to is shown by its
                          checks, not by `rtp`.
    `Route`               Lets `sink` hear `source`, instead of whom it heard before; said again of the same two legs it
                          changes the plan. The plan says which payload types are relayed, with the number each gets
                          (all others are dropped) and what their timestamps count, and whether RTP passes (`is_open`);
                          RTCP is never held. telephone-event is not relayed: digits that are `heard` are played anew
                          as the sink takes them (`events`), or told (`tells_digits`).
    `Unroute`             `sink` hears nobody any more.
    `PlayDigit`           Plays a digit to the peer of a leg, after those that wait; 64 wait at most. It lasts 40 to
                          8000 ms. Where the route to the leg names no `events` it is dropped and counted.
    `SendDtls`            Sends a DTLS datagram to the nominated address of a leg whose peer checks paths, or before
                          nomination to the address validated first; to the signalled address of any other, or who
                          stands in for it. Dropped when there is none. Of an `OwnPort` leg `component` says from which
                          port.
    `CloseLeg`            Ends a leg with its routes, both ways; ports rest in quarantine. Answered by `LegClosed`.
    `CloseCall`           Ends every leg of the call. Answered by `CallClosed`.
    `GetCounters`         Answered by `CountersReport`. As messages keep their order it also proves that every earlier
                          command is in effect. Of call 0, what belonged to no leg, under leg 0.
    `Heartbeat`           Answered by `Alive` with the same number, once every second; call 0. The gateway kills a
                          worker that leaves three unanswered; a worker that had heartbeats and misses 30 of them ends.
    ====================  ==========================================================================================

    Nothing leaves a leg before its keys are set, or before `SetPeer` said `keyed=False`. A command for a call or a leg
    the worker does not have is ignored and counted, except that `CloseLeg`, `CloseCall` and `GetCounters` are still
    answered, without numbers. A command that is refused (`CommandRefused`) changes nothing.

    ====================  ==========================================================================================
    Event                 Meaning
    ====================  ==========================================================================================
    `WorkerReady`         First message of a worker: its browser port is bound on every address. It says its version.
    `LegOpened`           Answer to `OpenLeg`: where the peer reaches the leg.
    `LegFailed`           The leg could not be opened or adopted, and nothing has changed; `reason` is a
                          `FailureReason`.
    `LegAdopted`          Answer to `Adopt`: the leg is one of this call.
    `CommandRefused`      A command for a leg could not be obeyed; `reason` is a `FailureReason`.
    `IceValidated`        The first authenticated check of the leg came from `address`; once more after consent was
                          lost and ICE restarted.
    `DtlsReceived`        A DTLS datagram from a validated address of a peer that checks paths, or from the accepted
                          source of an `OwnPort` leg with `dtls`; `component` says at which port.
    `ConsentLost`         No authenticated check for the consent time (RFC 7675). Once; the worker sends no more to this
                          peer and answers no more of its checks, until `SetIce` brings another name.
    `MediaStarted`        First packet of a leg that authenticated, or on a plain leg came from the accepted source.
                          Once per leg, once more after it changed between plain and keyed, and with the first packet
                          under each new key.
    `LegVerified`         Packets of a keyed leg authenticated. `confirmed`: so did a report of the peer that it gets
                          our stream; else no such report came within 20 s. Once for the keys of a leg.
    `KeysWorn`            A key of a leg has protected nearly as many packets as it may, and once more when it has.
    `MediaMismatch`       Packets came on a keyed leg from where the peer's media comes from, for 10 s, and none of them
                          authenticated; `code` says whether they are readable. Once for the keys of a leg. Also: RTCP
                          is in clear or missing, or media has header extensions that no plan names; once each.
    `LegSilent`           Nothing was accepted from a leg for 20 s since `SetPeer` or its last packet, neither RTP nor
                          RTCP. Once until it is heard again. An `IcePort` leg is expected to send from `SetKeys` on.
    `LegHeard`            A leg that was called silent is heard again.
    `SourceLearned`       The media of a leg now comes from, and goes to, `address`; `expected` is the signalled
                          address, and equal to it when that one has spoken again. At most 64 per leg; counters go on.
    `SourceRejected`      Packets were dropped; `code` is a code of the policy's catalogue, see `RejectCode`. At most
                          once per leg and code, and once more, as a `flood`, when packets fail to authenticate faster
                          than 50 a second; the counters tell how many.
    `MediaUnsent`         Ten packets that should leave on a leg did not; `cause` is an `UnsentCause`. Once per leg and
                          cause; the counters of that leg tell how many. Comfort noise is not media in this sense.
    `DigitHeard`          The peer of a leg has pressed a key, and its route says that this is told. When the key is let
                          go; at most 20 a second of one leg.
    `RtcpTold`            A compound packet came from the peer of a leg whose `OpenLeg` `tells_rtcp`, and its source was
                          right, or left for it. At most four a second of one leg.
    `LegClosed`           Answer to `CloseLeg` with the final counters and quality of the leg; also the last that is
                          told of a leg to the call it was adopted from.
    `CallClosed`          Answer to `CloseCall` with the final counters and quality of the legs there were.
    `CountersReport`      Answer to `GetCounters`: the legs there are.
    `Alive`               Answer to `Heartbeat`.
    ====================  ==========================================================================================

Rules a worker keeps whatever it is told
    - Browser port: only STUN is read from an address that has not passed an authenticated check. STUN that is not
      authenticated is never answered. DTLS is handed up and SRTP opened only from validated addresses; media is sent
      only to the nominated one, from the socket its checks come in on.
    - A datagram that is empty, longer than `MAX_DATAGRAM` or of no known kind is dropped and counted.
    - A packet on a keyed leg is authenticated before anything else is concluded from it. Any number of sources is heard
      in turn: the context of the one silent for longest makes room, and that SSRC is not taken again under this key. An
      earlier key that is set again goes on where it was: a packet index is never used twice.
    - Plain leg: the signalled address owns the leg from the first packet on. Another port of its host, or an address in
      `sources`, stands in for it only after it was silent for 2 s since `SetPeer`, its last packet and the moment from
      which somebody hears it (the end of a hold, a route), and then after three packets in sequence with one SSRC and
      an agreed payload type; until then media goes to the signalled address. No other is learned after that, and the
      signalled address has the leg back with its first packet. RTCP is heard from the signalled RTCP address and from
      the port above a stand-in.
    - Keyed leg with ports of its own: authenticated packets are heard from anywhere; the address sent to moves only to
      an allowed one that has sent for 2 s while the present one was silent.
    - DTLS on ports of a leg's own: the signalled address of the port is heard, and sent to. Another allowed one stands
      in for it only after 2 s of silence since `SetPeer` and its last datagram; no other follows that one. Media goes
      where the handshake came from whose keys are set. Eight
      datagrams that come before the peer is described are kept for that.
    - Ports of a leg whose peer checks paths: checks are answered on the RTP port, those of the first name before the
      peer is described, too. SRTP is opened and DTLS handed up only from validated addresses, and media is sent only to
      the nominated one. Paths last as long as the leg: such a peer need not ask for consent (RFC 7675).
    - RTP leaves with the mapped payload type and those header extensions that the plan names, in the stream of the
      sink. That goes on
      without a break whatever its source does and whoever becomes its source (RFC 3550 A.1): at a discontinuity, and
      where a route is replaced by one from another leg, by one packet and by the time that passed, with the marker bit.
      Another key to send with brings a new SSRC. Between discontinuities lost and late packets stay so; no index leaves
      twice. What is left out because its payload type was not agreed (comfort noise, often) takes no number.
    - A digit leaves in that stream as one event (RFC 4733): under one timestamp, that of its beginning; a marker on the
      first packet, an update every 20 ms, three end packets; lasting what it lasted at its source, in the clock of the
      sink; in segments where that is more than can be written. It is one digit whatever was lost, doubled or overtaken
      of the packets it came in; when its end was lost it ends 200 ms after the last of them. What the source sends
      besides is left out while it is played, which is no gap. The next one begins at least 40 ms after its end. One
      that came as an event and by `PlayDigit`, within 2 s, is one digit. A hold, or another source, ends the one that
      is played and forgets those that wait; another SSRC breaks the one that is played off, and the next one follows. A
      leg that cannot send yet is waited for, 5 s.
    - RTCP of the worker's own goes to every peer that can be reached, whether or not media does: SR or RR with SDES, at
      the random intervals of RFC 3550 6.3.1 around `report_seconds`, with a BYE the last time, when the leg is closed.
      It is about the stream of the leg and what is received there; the CNAME is the worker's own. Of the peer at most
      50 compounds a second are read; they are answered with DLRR where it asks (RFC 3611 4.5). Of what one says to
      another only requests pass (generic NACK, PLI, FIR, TMMBR), to the leg that is heard, in its numbers, at most 20 a
      second.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_MESSAGE = 65_536
"""Longest control message, octets: far above the largest real one, below the default socket buffer."""
MAX_DATAGRAM = 1500
"""Longest datagram relayed or handed up, octets."""
MAX_TOGETHER = 32
"""Messages in one packet: those of a few calls that begin or end in the same moment, and no more than media can wait
for."""
MAX_CONTROL_PACKET = MAX_MESSAGE + 4
"""Octets of a packet: the longest message has room in it, with its length."""
WORKER = 0
"""Call number that stands for the worker itself."""
MAX_CALLS = 4096
"""Calls of one worker: more than one core can carry; the gateway's own limit is far lower."""
MAX_LEGS = 16
"""Legs a call has at a time: a user rings on ten devices, and in a transfer two calls come together."""

CONSENT_SECONDS = 30.0
"""Life of consent after a check (RFC 7675 5.1)."""
SILENCE_SECONDS = 20.0
"""A leg that sends nothing for this long is called silent: four times the usual interval of RTCP reports."""
REPORT_SECONDS = 5.0
"""Between RTCP reports to a peer, before chance has its say (RFC 3550 6.2). With two members and some 100 octets a
report that is far below the share of RTCP in the bandwidth, whatever the codec."""
QUARANTINE_SECONDS = 5.0
"""A closed port rests this long: late packets of the old call do not reach the next one."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker is started with; JSON on its command line."""

    control_fd: int
    """The worker's end of the socket pair."""
    browser_bind: tuple[str, ...]
    browser_port: int
    trunk_first: int
    """First and last port of the worker's slice of `media.trunk.ports`."""
    trunk_last: int
    browser_advertise: tuple[str, ...] = ()
    """Addresses browsers are told, best first; those of `browser_bind` if there are none."""
    consent_seconds: float = CONSENT_SECONDS
    quarantine_seconds: float = QUARANTINE_SECONDS
    silence_seconds: float = SILENCE_SECONDS
    report_seconds: float = REPORT_SECONDS
    dialect: str = ""
    """What the gateway takes for the protocol (`relay_codec.dialect`). A worker of another opinion does not start."""
