# SPDX-License-Identifier: GPL-2.0-only
"""Control messages are counted as they are sent, whichever thread sends them."""

from __future__ import annotations

import socket
import threading
from typing import Any, cast

from towline.protocol import closing
from towline.sockets.port import Peer, Port
from towline.transfer.control import Control
from towline.wire import encode


class OnePort:
    """Enough of a port to send through."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self._socket, self._other = socket.socketpair()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, packet: bytes, peer: Peer) -> None:
        self.sent.append(packet)

    def close(self) -> None:
        self._socket.close()
        self._other.close()


def test_send__every_message_is_counted() -> None:
    port: Any = OnePort()
    control = Control([cast(Port, port)])
    message = closing.close(7)

    def say() -> None:
        for _ in range(100):
            control.send(port, message, Peer())

    try:
        threads = [threading.Thread(target=say) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert control.sent == 400
        assert port.sent == 400 * [encode(message)]
    finally:
        control.close()
