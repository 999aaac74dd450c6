"""Another configuration in place of the one there is."""
