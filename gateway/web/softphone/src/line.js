// The WebSocket of the user agent: opened again soon while a call waits for it, and anew when the network has changed.
const SOON = 300; // ms: JsSIP waits a second or two before its first try, and a call does not wait long
const CHANGED = 4000; // close code of an application (RFC 6455 7.4.2)

export class Line {
  #agent;
  #socket;
  #timer = 0;

  constructor(agent, socket) {
    this.#agent = agent;
    this.#socket = socket;
  }

  /** Tries again soon, each page at another moment: a gateway that was restarted has many to let in. */
  hasten() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#agent.transport?.connect(), SOON * (0.5 + Math.random()));
  }

  /** Gives up the WebSocket there is, which may be dead and not know it, and opens another one. */
  renew() {
    if (!this.#socket.isConnected()) {
      this.hasten();
      return;
    }
    this.#socket.disconnect(); // tells nobody, so it is told here, as if the WebSocket had closed by itself
    this.#socket.ondisconnect(true, CHANGED, 'The network changed');
  }

  close() {
    clearTimeout(this.#timer);
  }
}
