// One call as far as its protection goes: takes what the gateway reports, by whatever way it comes, and what the browser
// sees of its own leg. Knows no SIP library.
import { crossCheck, doubtOf, readTransport, shownColour } from './crosscheck.js';
import { HEADER, parseCallSecurity, readReport } from './report.js';

const REPORT_WAIT = 3000; // ms after the answer until a report that has not come counts as UNKNOWN
const STATS_INTERVAL = 1000; // ms between looks at getStats()
const MAX_EARLIER = 16; // calls of the gateway this one was part of before

export class SecurityWatch {
  #onChange;
  #onTone;
  #connection = null;
  #timers = [];
  #earlier = []; // ids the gateway gave this call before, for example until a transfer
  #toned = false;

  /** `onChange`: something is new. `onTone`: policy wants the person to hear that the call is not protected. */
  constructor({ callId = '', incoming = false, onChange = () => {}, onTone = () => {} } = {}) {
    this.callId = callId; // of SIP: what events name the call by
    this.incoming = incoming;
    this.#onChange = onChange;
    this.#onTone = onTone;
    this.report = null; // the latest, see report.js
    this.source = ''; // how it came: 'header', 'info' or 'events'
    this.overdue = false; // answered, and no report in time
    this.quality = null; // how it sounds, see quality.js
    this.observed = null; // {state, suite, version} of the browser's own DTLS
    this.answeredAt = 0;
    this.ended = false;
  }

  get answered() {
    return this.answeredAt > 0;
  }

  /** What a page shows, as one value; docs/web-developers.md explains each field. */
  get state() {
    const { report } = this;
    const doubt = doubtOf(this, Date.now());
    return {
      grade: report?.grade ?? 'UNKNOWN',
      worst: report?.worst ?? 'UNKNOWN',
      colour: report ? shownColour(report.grade, doubt) : 'grey',
      known: report !== null,
      overdue: this.overdue,
      expected: report !== null && !this.answered,
      ended: this.ended,
      browserSees: crossCheck(report?.browser, this.observed),
      scope: report?.scope ?? '',
      browser: report?.browser ?? null,
      trunk: report?.trunk ?? null,
      codes: report?.codes ?? [],
      refused: report?.refused ?? [],
      lost: report?.lost ?? '',
      recorded: report?.recorded ?? false,
      tone: report?.tone ?? '',
      policy: report?.policy ?? '',
      id: report?.id ?? '',
      sequence: report?.sequence ?? 0,
      source: this.source,
      quality: this.quality,
    };
  }

  /** A message of the call that may have the header: whatever has `getHeader(name)`, as the messages of both libraries. */
  read(message) {
    this.take(parseCallSecurity(message?.getHeader?.(HEADER)), 'header');
  }

  /** The body of an INFO of the package. */
  readInfo(body) {
    let object = null;
    try {
      object = JSON.parse(body);
    } catch {
      return; // not ours
    }
    this.take(readReport(object), 'info');
  }

  /** A report from anywhere; one that is older than what is known changes nothing. */
  take(report, source) {
    if (report === null || this.#isOlder(report)) return;
    const known = this.report;
    if (known && known.id !== report.id) this.#earlier = [...this.#earlier, known.id].slice(-MAX_EARLIER);
    this.report = report;
    this.source = source;
    this.overdue = false;
    this.#sound();
    this.#onChange(this);
  }

  /** How the call sounds, as the gateway says. */
  hear(quality) {
    if (this.ended) return;
    this.quality = quality;
    this.#onChange(this);
  }

  /** The highest number counts; those of another call the gateway has made of this one begin anew. */
  #isOlder(report) {
    if (this.#earlier.includes(report.id)) return true;
    return this.report !== null && report.id === this.report.id && report.sequence < this.report.sequence;
  }

  /** Before there is sound: at once in a call to somebody, at the answer in a call from somebody. */
  #sound() {
    const wanted = this.report?.tone ?? '';
    if (wanted === '') this.#toned = false;
    if (wanted === '' || this.#toned || this.ended || (this.incoming && !this.answered)) return;
    this.#toned = true;
    this.#onTone(wanted);
  }

  /** Somebody picked up. */
  accept() {
    if (this.answered || this.ended) return;
    this.answeredAt = Date.now();
    this.#timers.push(setTimeout(() => this.#missReport(), REPORT_WAIT));
    this.#timers.push(setInterval(() => this.look(), STATS_INTERVAL));
    this.#sound();
    this.#onChange(this);
  }

  #missReport() {
    this.overdue = this.report === null;
    this.#onChange(this);
  }

  /** The RTCPeerConnection of the call, whose DTLS is compared with what is reported. */
  attach(connection) {
    if (!connection || connection === this.#connection) return;
    this.#connection = connection;
    connection.addEventListener('connectionstatechange', () => this.look());
  }

  /** Looks at the browser's own statistics now. */
  async look() {
    if (!this.#connection || this.ended) return;
    const observed = readTransport(await this.#connection.getStats());
    if (this.ended || !observed) return;
    this.observed = observed;
    this.#onChange(this);
  }

  /** The call is over; `message` may have the last report. */
  end(message = null) {
    if (this.ended) return;
    for (const timer of this.#timers) clearInterval(timer);
    this.ended = true;
    this.read(message);
    this.#onChange(this);
  }
}
