"""Another configuration in place of the one there is, while the gateway runs."""
