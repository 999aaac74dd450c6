"""Configuration: the frozen schema (`schema`) and the loader that turns YAML into it (`load`)."""
