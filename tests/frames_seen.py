# SPDX-License-Identifier: GPL-2.0-only
"""What a parser that we did not write (scapy) makes of frames, and frames of others that it builds."""

from __future__ import annotations

import socket

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLReport2,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from tests.levels import ends_at
from towline.framing import ETHERNET, IPV6, UDP4, UDP6, Ends, Level, Numbers

_COMPUTED = ((IPv6, ("plen",)), (IP, ("len", "chksum")), (UDP, ("len", "chksum")))


def text(address: bytes) -> str:
    """An IP address as people write it."""
    return socket.inet_ntop(socket.AF_INET6 if len(address) == 16 else socket.AF_INET, address)


def mac(address: bytes) -> str:
    """A MAC address as people write it."""
    return address.hex(":")


def assert_seen(level: Level, frame: bytes, ends: Ends, packet: bytes, numbers: Numbers | None = None) -> None:
    """scapy finds both ends and the packet in the frame, and computes the same lengths and checksums."""
    numbers, ends = numbers or Numbers(), ends_at(level, ends)
    if level.frame_bytes < ETHERNET.frame_bytes:
        assert frame == (ends.destination_mac + ends.source_mac)[: level.frame_bytes] + packet
        return
    seen = Ether(frame)
    assert (seen.dst, seen.src) == (mac(ends.destination_mac), mac(ends.source_mac))
    if level is ETHERNET:
        assert seen.type == numbers.ethertype
    else:
        ip = seen[IP] if level is UDP4 else seen[IPv6]
        assert (ip.dst, ip.src) == (text(ends.destination), text(ends.source))
        following = ip.proto if level is UDP4 else ip.nh
        assert following == (numbers.next_header if level is IPV6 else socket.IPPROTO_UDP)
    inner = seen[UDP] if level.has_ports else seen[IPv6] if level is IPV6 else seen
    if level.has_ports:
        assert (inner.dport, inner.sport) == (ends.destination_port, ends.source_port)
        assert inner.chksum != 0
    assert bytes(inner.payload) == packet
    for layer, names in _COMPUTED:
        for name in names if layer in seen else ():
            delattr(seen[layer], name)
    assert bytes(seen) == frame


def chatter(ends: Ends, packet: bytes, numbers: Numbers | None = None) -> dict[str, bytes]:
    """Frames of others, by name; many hold a valid packet of ours where it does not belong."""
    numbers = numbers or Numbers()
    six, four = ends_at(UDP6, ends), ends_at(UDP4, ends)
    link = Ether(dst=mac(ends.destination_mac), src=mac(ends.source_mac))
    ipv6 = IPv6(dst=text(six.destination), src=text(six.source))
    ipv4 = IP(dst=text(four.destination), src=text(four.source))
    udp = UDP(dport=ends.destination_port, sport=ends.source_port)
    to_all = Ether(dst="33:33:00:00:00:02", src=mac(ends.source_mac))
    ours = numbers.next_header
    frames: dict[str, Packet] = {
        "router solicitation": to_all / IPv6(dst="ff02::2", src="fe80::1") / ICMPv6ND_RS(),
        "neighbour solicitation": to_all / IPv6(dst="ff02::1:ff00:1", src="fe80::1") / ICMPv6ND_NS(tgt="fe80::2"),
        "multicast listener report": to_all
        / IPv6(dst="ff02::16", src="fe80::1")
        / IPv6ExtHdrHopByHop(options=[RouterAlert()])
        / ICMPv6MLReport2(),
        "arp": Ether(dst="ff:ff:ff:ff:ff:ff", src=mac(ends.source_mac)) / ARP(pdst="10.0.0.2"),
        "ping": link / ipv4 / ICMP() / packet,
        "tcp": link / ipv4 / TCP(dport=ends.destination_port, sport=ends.source_port) / packet,
        "tcp6": link / ipv6 / TCP(dport=ends.destination_port, sport=ends.source_port) / packet,
        "vlan, ethernet": link / Dot1Q(vlan=5, type=numbers.ethertype) / packet,
        "vlan, udp6": link / Dot1Q(vlan=5) / ipv6 / udp / packet,
        "other type": Ether(dst=link.dst, src=link.src, type=0x1502) / packet,
        "other next header": link / IPv6(dst=ipv6.dst, src=ipv6.src, nh=ours + 1) / packet,
        "hop by hop, then ours": link / ipv6 / IPv6ExtHdrHopByHop(nh=ours) / packet,
        "fragment of ours": link / ipv6 / IPv6ExtHdrFragment(nh=ours, m=1) / packet,
        "fragment of udp6": link / ipv6 / IPv6ExtHdrFragment(nh=17, m=1) / udp / packet,
        "version 5": link / IPv6(version=5, dst=ipv6.dst, src=ipv6.src, nh=ours) / packet,
        "version 5, udp": link / IPv6(version=5, dst=ipv6.dst, src=ipv6.src, nh=17) / udp / packet,
        "udp6, other port": link / ipv6 / UDP(dport=ends.destination_port + 1, sport=ends.source_port) / packet,
        "udp6, other source": link / ipv6 / UDP(dport=ends.destination_port, sport=ends.source_port + 1) / packet,
        "udp6, other address": link / IPv6(dst=ipv6.dst, src="fd00::77") / udp / packet,
        "udp4, other port": link / ipv4 / UDP(dport=ends.destination_port + 1, sport=ends.source_port) / packet,
        "udp4, other source": link / ipv4 / UDP(dport=ends.destination_port, sport=ends.source_port + 1) / packet,
        "udp4, other address": link / IP(dst=ipv4.dst, src="10.9.9.9") / udp / packet,
        "udp4, first fragment": link / IP(dst=ipv4.dst, src=ipv4.src, flags="MF") / udp / packet,
        "udp4, later fragment": link / IP(dst=ipv4.dst, src=ipv4.src, frag=3) / udp / packet,
        "udp4, options": link / IP(dst=ipv4.dst, src=ipv4.src, options=[b"\x01" * 4]) / udp / packet,
        "version 6 in ipv4": link / IP(version=6, dst=ipv4.dst, src=ipv4.src) / udp / packet,
    }
    return {name: bytes(frame) for name, frame in frames.items()}
