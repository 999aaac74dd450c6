// The gateway's event socket: a ticket from REGISTER opens it, the whole state comes first, then whatever changes.

export const TICKET = 'Call-Security-Ticket';
const SUBPROTOCOL = 'call-security';
const FIRST_WAIT = 500; // ms before it is opened again; doubled each time
const LONGEST_WAIT = 30000;
const SIGNED_OUT = 4001; // only the next REGISTER brings a ticket that is good
const BAD_TICKET = 4003;
const NOT_AGAIN = new Set([SIGNED_OUT, BAD_TICKET]);

export class EventSocket {
  #url;
  #onCall;
  #onQuality;
  #onState;
  #ticket = '';
  #socket = null;
  #next = 0; // number of the next message; 0 until the state is there
  #asked = false; // for the state, because a number was left out
  #wait = FIRST_WAIT;
  #timer = 0;

  /**
   * `onCall`: the report on a call. `onQuality`: how one sounds. `onState`: the socket is open, with the whole state there,
   * or it is not.
   */
  constructor(url, { onCall, onQuality = () => {}, onState = () => {} }) {
    this.#url = url;
    this.#onCall = onCall;
    this.#onQuality = onQuality;
    this.#onState = onState;
  }

  /** The state is there and is kept up. */
  get live() {
    return this.#next > 0;
  }

  /** The 200 to a REGISTER: its ticket opens the socket if that is not open. */
  use(ticket) {
    if (!ticket) return;
    this.#ticket = ticket;
    this.#wait = FIRST_WAIT;
    if (this.#socket === null) this.#open();
  }

  close() {
    clearTimeout(this.#timer);
    this.#ticket = '';
    this.#socket?.close();
    this.#lose();
  }

  #open() {
    clearTimeout(this.#timer);
    if (!this.#ticket) return;
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    socket.addEventListener('open', () => socket === this.#socket && this.#greet());
    socket.addEventListener('message', ({ data }) => socket === this.#socket && this.#read(data));
    socket.addEventListener('close', ({ code }) => socket === this.#socket && this.#closed(code));
  }

  #greet() {
    const ticket = this.#ticket;
    this.#ticket = ''; // it is good once
    this.#socket.send(JSON.stringify({ v: 1, type: 'hello', ticket }));
  }

  #closed(code) {
    this.#lose();
    if (NOT_AGAIN.has(code) && !this.#ticket) return;
    this.#timer = setTimeout(() => this.#open(), this.#wait * (0.5 + Math.random()));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #lose() {
    const was = this.live;
    this.#socket = null;
    this.#next = 0;
    this.#asked = false;
    if (was) this.#onState(false);
  }

  #read(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message?.v !== 1) return;
    if (message.type === 'state') this.#begin(message);
    else if (!this.live || this.#asked) return;
    else if (message.seq === this.#next) this.#go(message);
    else this.#resync();
  }

  #begin(message) {
    const was = this.live;
    this.#next = message.seq + 1;
    this.#asked = false;
    this.#wait = FIRST_WAIT;
    if (typeof message.ticket === 'string') this.#ticket = message.ticket;
    for (const call of Array.isArray(message.calls) ? message.calls : []) this.#onCall(call);
    for (const call of Array.isArray(message.quality) ? message.quality : []) this.#onQuality(call);
    if (!was) this.#onState(true);
  }

  #go(message) {
    this.#next += 1;
    if (message.type === 'call.security') this.#onCall(message.call);
    else if (message.type === 'call.quality') this.#onQuality(message.call);
  }

  /** A number was left out: what is true now is asked for. */
  #resync() {
    this.#asked = true;
    this.#socket.send(JSON.stringify({ v: 1, type: 'resync' }));
  }
}
