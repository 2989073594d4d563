# SPDX-License-Identifier: GPL-2.0-only
"""Control messages over an ordinary socket: what XDP leaves alone, from HELLO to ABORT."""

from __future__ import annotations

import errno
import select
import socket
import time
from dataclasses import dataclass

from towline.errors import FileError, MalformedError, PermissionsError
from towline.framing import ETHERNET, ETHERTYPE, ethernet_frame, ethernet_source_untrusted
from towline.wire import Message, decode_untrusted, encode

BATCH_MESSAGES = 64
LARGEST_FRAME_BYTES = 4096
_LOST = (errno.ENETDOWN, errno.ENOBUFS)  # the link is down; no carrier, or no room


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message and the address that it came from (6 bytes)."""

    message: Message
    address: bytes


class Control:
    """A packet socket on one interface for one level's frames; many threads may send, one receives."""

    def __init__(self, interface: str, address: bytes) -> None:
        """`address`: the interface's own (6 bytes)."""
        self.malformed = 0
        self._address = address
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((interface, ETHERTYPE))
        except PermissionError:
            raise PermissionsError("a packet socket", "CAP_NET_RAW") from None
        except OSError as error:
            raise FileError(interface, error.strerror or str(error)) from error
        if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENETDOWN:
            self._socket.close()
            raise FileError(interface, f"is down: bring it up with `ip link set dev {interface} up`")
        self._socket.setblocking(False)

    def send(self, message: Message, address: bytes) -> None:
        """Send a message to an address; a full queue drops it, as the path might, and so does a pulled cable."""
        try:
            self._socket.send(ethernet_frame(address, self._address) + encode(message))
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            if error.errno not in _LOST:  # if it lasts, the silence is noticed
                raise FileError("the interface", f"{error.strerror}: is it still there?") from error

    def receive(self, timeout_s: float) -> list[Letter]:
        """The messages that are there, malformed ones left out; waits at most that long for the first."""
        readable, _, _ = select.select([self._socket], [], [], timeout_s)
        letters: list[Letter] = []
        while readable and len(letters) < BATCH_MESSAGES:
            try:
                frame, (_, _, packet_type, *_) = self._socket.recvfrom(LARGEST_FRAME_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.ENETDOWN:  # told once when the link goes down
                    break
                raise FileError("the interface", f"{error.strerror}: is it still there?") from error
            if packet_type != socket.PACKET_HOST:
                continue
            try:
                message = decode_untrusted(frame[ETHERNET.frame_bytes :])
                letters.append(Letter(message=message, address=ethernet_source_untrusted(frame)))
            except MalformedError:
                self.malformed += 1
        return letters

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Allowance:
    """At most so many answers a second to those who are nobody here."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
