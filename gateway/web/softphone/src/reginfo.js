// Where the user's calls ring, as the gateway tells each page that is signed in (RFC 3680): one document, the whole state.
export const EVENT = 'reg';
const DOCUMENT = /^(?:<\?xml[^<>]*\?>)?\s*<reginfo xmlns="urn:ietf:params:xml:ns:reginfo"[^<>]*>(.*)<\/reginfo>\s*$/s;
const CONTACT = /<contact( [^<>]*)>\s*<uri>([^<>]*)<\/uri>/g;
const ATTRIBUTE = / ([a-z]+)="([^"]*)"/g;
const USER = /^sips?:([^@]*)@/; // of a page: random letters, in which nothing needs escaping
const MAX_CONTACTS = 32;

/**
 * How this page stands: `here`, calls ring on it; `elsewhere`, on another one; `removed`, another page signed it out;
 * `lost`, nowhere, and it shall register again. `others`: another page is signed in too. Null when that cannot be read.
 */
export function readStanding(text, user) {
  const contacts = readContacts(text ?? '');
  const own = contacts?.find((contact) => contact.user === user && contact.state === 'terminated')
    ?? contacts?.find((contact) => contact.user === user);
  if (!own) return null;
  const active = contacts.filter((contact) => contact.state === 'active');
  const others = active.some((contact) => contact.user !== user);
  if (own.state === 'active') {
    return { place: active.every((contact) => contact.q <= own.q) ? 'here' : 'elsewhere', others };
  }
  if (own.event === 'unregistered') return { place: 'removed', others };
  return { place: active.length ? 'elsewhere' : 'lost', others };
}

/**
 * The contacts of a document in the form this gateway writes; null for any other. Not the browser's own parser: the page's
 * policy allows no markup to be made of text, be it XML that nobody sees.
 */
function readContacts(text) {
  const [, inner] = DOCUMENT.exec(text) ?? [];
  if (inner === undefined) return null;
  return [...inner.matchAll(CONTACT)].slice(0, MAX_CONTACTS).map(([, attributes, uri]) => {
    const { state, event, q } = Object.fromEntries([...attributes.matchAll(ATTRIBUTE)].map(([, name, value]) => [name, value]));
    return { user: USER.exec(uri)?.[1] ?? '', state, event, q: Number(q ?? 1) };
  });
}

/** What the page says about it, and whether there is something to press. */
export function describeStanding({ place, others }) {
  if (place === 'elsewhere') return { words: 'Signed in, but calls ring on another page.', offer: true };
  if (place === 'removed') return { words: 'Another page has signed you out everywhere: calls do not ring here.', offer: true };
  if (place === 'here' && others) return { words: 'Calls ring here. Your other page does not ring any more.', offer: false };
  return { words: '', offer: false };
}
