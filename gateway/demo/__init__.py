"""The demonstration `make run` starts: development certificates and a PBX made of pjsua2 phones."""
