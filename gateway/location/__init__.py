"""Where users can be reached: who is signed in on which connection, and what is bound to it."""
