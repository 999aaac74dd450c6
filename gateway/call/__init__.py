"""The B2BUA: legs and calls as pure machines, and the manager that carries out their effects."""
