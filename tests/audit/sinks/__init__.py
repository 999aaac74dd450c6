"""Tests of the sinks, against receivers with real sockets."""
