# SPDX-License-Identifier: GPL-2.0-only
"""Frames of one level out of one interface, through a packet socket that hears nothing."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towline.errors import FileError
from towline.framing import Ends, Level, Numbers, seal_frames, write_frame
from towline.sockets.batches import MESSAGE, PIECE, addresses, send_messages
from towline.sockets.opening import enlarge_buffers, told
from towline.wire import payload_sums

PATIENCE_S = 0.005


class PacketExit:
    """Many threads may send. Needs CAP_NET_RAW."""

    def __init__(self, interface: str, level: Level, numbers: Numbers) -> None:
        """Raises PermissionsError, FileError for an interface that is missing."""
        self.level = level
        self.numbers = numbers
        self.refused = 0  # packets that the system did not want to send
        with told("a packet socket", interface=interface, capabilities="CAP_NET_RAW"):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            try:
                self._socket.setblocking(False)
                enlarge_buffers(self._socket)
                self._socket.bind((interface, 0))
            except BaseException:
                self._socket.close()
                raise

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def flow(self, ends: Ends, most_packets: int, width: int) -> PacketFlow:
        """Prepare sending packets of at most `width` bytes."""
        return PacketFlow(self, ends, most_packets, width)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class PacketFlow:
    """Frames to one peer; see Flow. The frame stands in front of each row, so that one piece holds both.

    Frames shorter than 60 bytes are left to the driver, which knows whether its wire wants them longer.
    """

    def __init__(self, exit_: PacketExit, ends: Ends, most_packets: int, width: int) -> None:
        level = exit_.level
        frame = write_frame(level, ends, exit_.numbers)
        room = -(-len(frame) // 16) * 16  # the header is aligned, as numpy likes it
        memory = np.zeros((most_packets, -(-(room + width) // 64) * 64), np.uint8)
        memory[:, room - len(frame) : room] = np.frombuffer(frame, np.uint8)
        self.packets = memory[:, room : room + width]
        self.how = "sendmmsg"
        self.patience_s = PATIENCE_S
        self._exit = exit_
        self._frames = memory[:, room - len(frame) : room]
        self._sealed = np.zeros(most_packets, np.int64)
        self._pieces = np.zeros(most_packets, PIECE)
        self._pieces["base"] = addresses(self._frames) if len(frame) else addresses(self.packets)
        self._messages = np.zeros(most_packets, MESSAGE)
        self._messages["pieces"] = addresses(self._pieces)
        self._messages["count"] = 1

    def send(self, count: int, lengths: NDArray[Any] | int) -> int:
        """See Flow. Raises FileError where the interface has gone."""
        sizes = np.broadcast_to(np.asarray(lengths, np.int64), (count,))
        self._seal(count, sizes)
        self._pieces["bytes"][:count] = sizes + self._frames.shape[1]
        try:
            sent = send_messages(self._exit.fileno(), self._messages, count, patience_s=self.patience_s)
        except OSError as error:
            raise gone(error) from error
        self._exit.refused += sent.refused
        return sent.done

    def _seal(self, count: int, sizes: NDArray[np.int64]) -> None:
        level = self._exit.level
        if level.family == socket.AF_PACKET or not count:
            return
        if level.has_ports:
            sums = np.zeros(count, np.uint64)
            for size in np.unique(sizes).tolist():  # one, as a rule: the last packet of a block may be shorter
                rows = slice(0, count) if (sizes == size).all() else sizes == size
                sums[rows] = payload_sums(self.packets[:count][rows, :size])
            seal_frames(level, self._frames[:count], sizes, sums)
        elif (self._sealed[:count] != sizes).any():
            seal_frames(level, self._frames[:count], sizes)
            self._sealed[:count] = sizes


def gone(error: OSError) -> FileError:
    """An interface that was there has gone, or something like it."""
    return FileError("the interface", f"{error.strerror}: is it still there?")
