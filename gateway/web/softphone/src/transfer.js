// Handing a call over (RFC 3515, RFC 5589): the REFER, what its NOTIFYs tell, and both in words.
import { describeRefer } from './reasons.js';
import { table } from './table.js';

const LONGEST = 200000; // ms until a transfer nobody tells the end of has failed: longer than any telephone rings
const OVER = /^\s*terminated\b/i; // Subscription-State: no more NOTIFYs will come

/** What is done meanwhile; then it is `joined` or has `failed`. */
const PROGRESS = table({ holding: 'putting the call on hold', asked: 'asking', trying: 'trying', ringing: 'ringing' });

/**
 * One transfer. `who` is handed over to `to`; with `attended` the two are joined who were called from this page.
 * `finished` resolves with whether they were connected.
 */
export class Transfer {
  #onChange;
  #timer = 0;
  #resolve;

  constructor({ who, to, attended, onChange }) {
    this.who = who;
    this.to = to;
    this.attended = attended;
    this.step = 'holding';
    this.reason = '';
    this.#onChange = onChange;
    this.finished = new Promise((resolve) => { this.#resolve = resolve; });
  }

  get over() {
    return this.step === 'joined' || this.step === 'failed';
  }

  /** Sends the REFER. `replaces` is the session the target shall take over, for an attended transfer. */
  send(session, target, replaces) {
    this.#timer = setTimeout(() => this.#fail('The gateway did not say how it ended.'), LONGEST);
    const options = { eventHandlers: this.#handlers(), ...(replaces ? { replaces: dialogOf(replaces) } : {}) };
    if (session.refer(target, options) === false) this.#fail('The call is no longer there.');
    else if (!this.over) this.#go('asked');
  }

  /** The call has ended before its transfer did. */
  abandon() {
    this.#fail('The call has ended.');
  }

  #handlers() {
    return {
      requestFailed: ({ response, cause }) => this.#fail(describeRefer(response, cause)),
      trying: ({ request }) => this.#told('trying', request),
      progress: ({ request }) => this.#told('ringing', request),
      accepted: () => this.#end('joined', ''),
      failed: ({ request, status_line: line }) => this.#fail(describeRefer(readFragment(request, line), '')),
    };
  }

  #told(step, request) {
    if (OVER.test(request.getHeader('Subscription-State') ?? '')) this.#fail('The gateway did not say how it ended.');
    else if (!this.over && step !== this.step) this.#go(step);
  }

  #fail(reason) {
    this.#end('failed', reason);
  }

  #end(step, reason) {
    if (this.over) return;
    clearTimeout(this.#timer);
    this.reason = reason;
    this.#go(step);
    this.#resolve(step === 'joined');
  }

  #go(step) {
    this.step = step;
    this.#onChange();
  }
}

/**
 * The dialog as its other end knows it (RFC 3891 3): `to-tag` is the tag of that end. JsSIP, given a session, writes the tags as
 * its INVITE had them, which names no dialog when the call came in.
 */
function dialogOf(session) {
  const { call_id: callId, local_tag: own, remote_tag: theirs } = session._dialog.id;
  return { _request: { call_id: callId }, _from_tag: own, _to_tag: theirs };
}

/** What a NOTIFY tells as if it were the response itself: header fields of the fragment, then those of the NOTIFY. */
function readFragment(request, { status_code: status, reason_phrase: phrase }) {
  const fields = new Map((request.body ?? '').split(/\r?\n/).slice(1).map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, Math.max(colon, 0)).trim().toLowerCase(), line.slice(colon + 1).trim()];
  }));
  const getHeader = (name) => fields.get(name.toLowerCase()) ?? request.getHeader(name);
  return { status_code: Number(status), reason_phrase: phrase, getHeader };
}

/** How far it has come, for whoever asked for it. */
export function describeTransfer({ step, who, to, attended, reason }) {
  if (step === 'failed') return attended ? `${who} and ${to} were not joined. ${reason}` : `The transfer to ${to} failed. ${reason}`;
  if (step === 'joined') return attended ? `${who} and ${to} are joined and go on without you.` : `${who} was transferred to ${to}.`;
  const doing = attended ? `Joining ${who} and ${to}` : `Transferring to ${to}`;
  return `${doing}: ${PROGRESS[step]}…`;
}
