/** Tells a page how its calls are protected, beside JsSIP or SIP.js. See docs/web-developers.md. */

export type Grade = 'CLEARTEXT' | 'KEY_EXPOSED' | 'PARTIAL' | 'UNAUTHENTICATED' | 'HOP_BY_HOP' | 'END_TO_END';
export type Colour = 'red' | 'amber' | 'green' | 'grey';
/** What the browser itself says of its leg: `getStats()` compared with the report. */
export type BrowserSees = 'confirmed' | 'checking' | 'contradicted' | 'unknown';

export interface Leg {
  keying: '' | 'plain' | 'sdes' | 'dtls';
  /** Not agreed yet: the rest is what it will be at best. */
  pending: boolean;
  suite: string;
  transport: '' | 'udp' | 'tcp' | 'tls' | 'ws' | 'wss';
  tls: '' | 'tls1.2' | 'tls1.3';
  verified: boolean | null;
}

export interface Report {
  grade: Grade;
  worst: Grade;
  scope: string;
  browser: Leg | null;
  trunk: Leg | null;
  recorded: boolean;
  sequence: number;
  policy: string;
  id: string;
  lost: '' | 'browser' | 'trunk' | 'both';
  far: string;
  codes: string[];
  refused: string[];
  tone: string;
}

/** One direction of a leg: MOS-CQ (1 to 4.5), percent of packets lost, milliseconds. */
export interface WayQuality {
  mos: number | null;
  loss: number | null;
  jitter: number | null;
  delay: number | null;
}

export interface LegQuality {
  leg: 'browser' | 'trunk';
  quality: '' | 'good' | 'bad';
  mos: number | null;
  roundTrip: number | null;
  /** What the gateway hears from there. */
  heard: WayQuality | null;
  /** What it sends there, as the other end reports to get it. */
  sent: WayQuality | null;
}

/** How a call sounds, over the last seconds. */
export interface CallQuality {
  quality: 'good' | 'bad';
  /** Of a bad one: on which leg, who hears badly, and what weighs most. */
  where: '' | 'browser' | 'trunk';
  hears: '' | 'you' | 'other';
  cause: '' | 'loss' | 'delay' | 'jitter';
  legs: LegQuality[];
}

export interface SecurityState {
  /** UNKNOWN until a report is there: treat such a call as if anyone could listen. */
  grade: Grade | 'UNKNOWN';
  worst: Grade | 'UNKNOWN';
  /** Green only where the browser confirms it; grey while that is being checked, or nothing is known. */
  colour: Colour;
  known: boolean;
  /** Answered, and no report within 3 s. */
  overdue: boolean;
  /** Not answered: the grade is what the call will have at best. */
  expected: boolean;
  ended: boolean;
  browserSees: BrowserSees;
  scope: string;
  browser: Leg | null;
  trunk: Leg | null;
  /** Why the grade is not better. */
  codes: string[];
  /** What the other end last tried to do to the protection, and was refused. */
  refused: string[];
  lost: '' | 'browser' | 'trunk' | 'both';
  recorded: boolean;
  tone: string;
  policy: string;
  id: string;
  sequence: number;
  source: '' | 'header' | 'info' | 'events';
  /** Told by the event socket alone; null until it was. */
  quality: CallQuality | null;
}

/** A SIP message of either library. */
export interface Message {
  getHeader(name: string): string | undefined | null;
}

export interface Options<Session> {
  onSecurity?: (session: Session, state: SecurityState) => void;
  /** `wss://HOST:PORT/events`; without it only header and INFO are read. */
  events?: string;
  /** Whether to play the tone policy may want; a function plays it in the module's place. */
  tone?: boolean | ((tone: string, session: Session) => void);
  audioContext?: AudioContext | null;
  onEvents?: (live: boolean) => void;
}

export class SecurityWatch {
  readonly callId: string;
  readonly incoming: boolean;
  readonly report: Report | null;
  readonly quality: CallQuality | null;
  readonly state: SecurityState;
  readonly answered: boolean;
  readonly ended: boolean;
  read(message: Message | null | undefined): void;
  readInfo(body: string): void;
  hear(quality: CallQuality): void;
  accept(): void;
  attach(connection: RTCPeerConnection | null | undefined): void;
  look(): Promise<void>;
  end(message?: Message | null): void;
}

export class GatewaySecurity<Session extends object = any> {
  constructor(options?: Options<Session>);
  /** For INVITEs and their answers: `Recv-Info: call-security`. */
  readonly extraHeaders: string[];
  readonly eventsLive: boolean;
  /** A `UA` of JsSIP. */
  useJsSIP(ua: { on(event: string, listener: (data: any) => void): unknown }): void;
  watchJsSIP(session: Session, request: any, onChange?: (watch: SecurityWatch) => void): SecurityWatch;
  /** An `Inviter` or `Invitation` of SIP.js. */
  watchSIPjs(session: Session, onChange?: (watch: SecurityWatch) => void): SecurityWatch;
  inviteOptions<T extends object>(session: Session, options?: T): T & { requestDelegate: object };
  registerOptions<T extends object>(options?: T): T & { requestDelegate: object };
  registered(response: Message | null | undefined): void;
  watch(
    key: Session, call: { callId: string; incoming?: boolean }, onChange?: (watch: SecurityWatch) => void,
  ): SecurityWatch;
  stateOf(session: Session): SecurityState | null;
  close(): void;
}

export const GRADES: readonly Grade[];
export const HEADER: 'Call-Security';
export function colourOf(grade: string): Colour;
export function parseCallSecurity(header: string | null | undefined): Report | null;
export function readReport(object: unknown): Report | null;
export function readQuality(object: unknown): CallQuality | null;
/** One line for the person who talks. */
export function describeQuality(quality: CallQuality | null, scope?: string): string;
export function crossCheck(leg: Leg | null, observed: { state: string; suite: string } | null): BrowserSees;
export function readTransport(stats: RTCStatsReport): { state: string; suite: string; version: string } | null;
export function playInsecureBeep(context: AudioContext): Promise<boolean>;
