"""The legs of a call: what a browser or a trunk negotiates, and the dialog side both share. PURE."""
