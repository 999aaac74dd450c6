"""Writes `_mmsg.py`: the system's functions for batches of datagrams, as cffi wants them described.

Described beforehand, because the parser of C costs each worker its start. Run as
`python -m gateway.media.worker.mmsg_build`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

SOURCE = """
struct iovec { uintptr_t base; size_t length; };
struct sockaddr_in { unsigned short family; unsigned short port; unsigned int host; char zero[8]; };
struct sockaddr_in6 {
    unsigned short family; unsigned short port; unsigned int flow; unsigned char host[16]; unsigned int scope;
};
struct msghdr {
    uintptr_t name; unsigned int namelen; struct iovec *iov; size_t iovlen;
    void *control; size_t controllen; int flags;
};
struct mmsghdr { struct msghdr head; unsigned int length; };
int recvmmsg(int, struct mmsghdr *, unsigned int, int, void *);
int sendmmsg(int, struct mmsghdr *, unsigned int, int);
ssize_t sendto(int, uintptr_t, size_t, int, uintptr_t, unsigned int);
"""
TARGET = Path(__file__).with_name("_mmsg.py")


def written() -> str:
    """What `_mmsg.py` must be."""
    from cffi import FFI  # not needed to run a worker

    maker = FFI()
    maker.cdef(SOURCE)
    maker.set_source("gateway.media.worker._mmsg", None)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "made.py"
        maker.emit_python_code(str(file))
        return file.read_text()


if __name__ == "__main__":
    TARGET.write_text(written())
