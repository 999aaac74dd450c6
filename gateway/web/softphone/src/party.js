// Who the other side is: From of an incoming call, and P-Asserted-Identity (RFC 3325) as the gateway writes it.

export const IDENTITY = 'P-Asserted-Identity';
const MAX_NAME = 64;
const ADDRESS = /^\s*(?:"((?:[^"\\]|\\.)*)"\s*)?<sips?:([^@>]*)@([^>;]+)[^>]*>/;

/** {display_name, uri: {user, host}} of an address, or null. */
export function parseIdentity(header) {
  const match = ADDRESS.exec(header ?? '');
  if (!match) return null;
  const [, name = '', user, host] = match;
  return { display_name: name.replace(/\\(.)/g, '$1'), uri: { user: decoded(user), host } };
}

/** Display name and number as plain text: no control or direction-changing characters that could fake a name. */
export function nameOf({ display_name: name, uri }) {
  const clean = (text) => (text ?? '').replace(/[\p{Cc}\p{Cf}]/gu, '').slice(0, MAX_NAME);
  const user = clean(uri.user);
  return name && name !== user ? `${clean(name)} (${user || uri.host})` : user || uri.host;
}

function decoded(user) {
  try {
    return decodeURIComponent(user);
  } catch {
    return user; // not UTF-8
  }
}
