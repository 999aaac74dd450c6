// What the gateway tells a page that lost its place or has it again, though it looks signed in all along (RFC 3680): one
// document, the whole state.
export const EVENT = 'reg';
const DOCUMENT = /^(?:<\?xml[^<>]*\?>)?\s*<reginfo xmlns="urn:ietf:params:xml:ns:reginfo"[^<>]*>(.*)<\/reginfo>\s*$/s;
const CONTACT = /<contact( [^<>]*)>\s*<uri>([^<>]*)<\/uri>/g;
const ATTRIBUTE = / ([a-z]+)="([^"]*)"/g;
const USER = /^sips?:([^@]*)@/; // of a page: random letters, in which nothing needs escaping
const MAX_CONTACTS = 32;

const PLACES = new Map([['unregistered', 'removed'], ['rejected', 'displaced']]);

/**
 * How this page stands: `here`, calls ring on it, whatever other pages there are; `removed`, another page signed it out;
 * `displaced`, another one took its place; `lost`, it has run out and shall register again. Null when it cannot be read.
 */
export function readStanding(text, user) {
  const contacts = readContacts(text ?? '')?.filter((contact) => contact.user === user) ?? [];
  const own = contacts.find((contact) => contact.state === 'terminated') ?? contacts[0];
  if (!own) return null;
  return { place: own.state === 'active' ? 'here' : PLACES.get(own.event) ?? 'lost' };
}

/**
 * The contacts of a document in the form this gateway writes; null for any other. Not the browser's own parser: the page's
 * policy allows no markup to be made of text, be it XML that nobody sees.
 */
function readContacts(text) {
  const [, inner] = DOCUMENT.exec(text) ?? [];
  if (inner === undefined) return null;
  return [...inner.matchAll(CONTACT)].slice(0, MAX_CONTACTS).map(([, attributes, uri]) => {
    const { state, event } = Object.fromEntries([...attributes.matchAll(ATTRIBUTE)].map(([, name, value]) => [name, value]));
    return { user: USER.exec(uri)?.[1] ?? '', state, event };
  });
}

/** What the page says about it, and whether there is something to press. */
export function describeStanding({ place }) {
  if (place === 'displaced') return { words: 'Another of your pages took over: calls do not ring here.', offer: true };
  if (place === 'removed') return { words: 'Another page has signed you out everywhere: calls do not ring here.', offer: true };
  return { words: '', offer: false };
}
