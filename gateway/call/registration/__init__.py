"""Registration relay: the PBX knows the passwords of the browsers' users, and we never see them.

REGISTER of a browser -> `limits` -> `sip/digest_relay`: what may pass -> `rewriting`: Contact or Path -> registrar
401 of the registrar  -> `sip/digest_relay`: challenges as they came -> the browser, whose library answers them
200 of the registrar  -> the connection is that user's, and `book` knows its place -> the store of bindings
INVITE of the PBX     -> `book`: whose place -> that browser alone
INVITE of a browser   -> as it came where its digest covers it -> the PBX, whose 407 goes back to the browser

The answer to a challenge covers method, request URI, nonce and counts (RFC 7616 3.4), and a registrar may tie its nonce
to Call-ID and From tag. All of these go through unchanged; bodies do not, so qop=auth-int is never let through.
"""
