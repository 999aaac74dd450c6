"""What the control plane needs of WebRTC: ICE-lite credentials and candidates, the DTLS endpoint."""
