"""Media: the relay workers, their command protocol and the client the control plane uses."""
