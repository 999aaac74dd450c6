// How a call sounds: reads what the event socket tells of it, and says it in words. No DOM, no network: pure functions.
import { table } from './table.js';

const CAUSES = table({
  loss: 'parts of it are lost',
  delay: 'it takes long',
  jitter: 'it comes at uneven times',
});

const HEARERS = table({
  you: 'You may hear the other side badly',
  other: 'The other side may hear you badly',
});

const QUALITIES = new Set(['good', 'bad']);
const MAX_LEGS = 2;

const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** {quality, where, hears, cause, legs} from an object of the event socket; null for what is none. */
export function readQuality(object) {
  if (object === null || typeof object !== 'object' || !QUALITIES.has(object.quality)) return null;
  const legs = Array.isArray(object.legs) ? object.legs.slice(0, MAX_LEGS) : [];
  return {
    quality: object.quality,
    where: ['browser', 'trunk'].includes(object.where) ? object.where : '',
    hears: object.hears in HEARERS ? object.hears : '',
    cause: object.cause in CAUSES ? object.cause : '',
    legs: legs.map(readLeg).filter(Boolean),
  };
}

function readLeg(leg) {
  if (leg === null || typeof leg !== 'object' || !['browser', 'trunk'].includes(leg.leg)) return null;
  return {
    leg: leg.leg,
    quality: QUALITIES.has(leg.quality) ? leg.quality : '',
    mos: number(leg.mos),
    roundTrip: number(leg.rtt_ms),
    heard: readWay(leg.heard),
    sent: readWay(leg.sent),
  };
}

function readWay(way) {
  if (way === null || typeof way !== 'object') return null;
  return { mos: number(way.mos), loss: number(way.loss_percent), jitter: number(way.jitter_ms), delay: number(way.delay_ms) };
}

/** One calm line for somebody who is talking; nothing before there is something to say. */
export function describeQuality(quality, scope = '') {
  if (!quality) return '';
  if (quality.quality === 'good') return quality.legs.some(({ mos }) => mos !== null) ? 'The sound is good.' : '';
  const hearing = HEARERS[quality.hears] ?? 'The sound is not good';
  const cause = CAUSES[quality.cause];
  return cause ? `${hearing}: ${cause} ${placeOf(quality, scope)}.` : `${hearing}.`;
}

function placeOf({ where }, scope) {
  return where === 'browser' ? 'between you and the gateway' : `between the gateway and ${scope.replace(/^to /, '') || 'the other side'}`;
}
