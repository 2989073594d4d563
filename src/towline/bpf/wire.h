/* SPDX-License-Identifier: GPL-2.0-only */
/* Peer to peer: every byte of the header and the messages. PROTOCOL.md says it in prose; wire.py mirrors it. */
#ifndef TOWLINE_WIRE_H
#define TOWLINE_WIRE_H

#include <linux/types.h>

#define WIRE_MAGIC 0xBE /* magic and version; even and locally administered, where it is the first byte of a MAC */

enum kind {
	KIND_HELLO = 1, /* sender:   may I send you this? */
	KIND_RETRY,	/* receiver: say it again with this cookie */
	KIND_ACCEPT,	/* receiver: here is your session */
	KIND_REJECT,	/* receiver: no, because */
	KIND_DATA,	/* sender:   one packet of the stream */
	KIND_ACK,	/* receiver: what has been placed, and how far you may go */
	KIND_NACK,	/* receiver: send these again */
	KIND_FIN,	/* sender:   that was all */
	KIND_DONE,	/* receiver: all of it is verified and stored */
	KIND_CLOSE,	/* sender:   I have seen DONE */
	KIND_ABORT,	/* either:   it ends here, because */
};

enum flag {
	FLAG_FLUSH = 1,	   /* answer at once, whatever became of this packet */
	FLAG_CHECKSUM = 2, /* DATA: the check covers the payload too; it covers the body of every other kind */
	FLAG_AGAIN = 4,	   /* sent before */
	FLAG_FULL = 8,	   /* NACK: the ring buffer was full */
};

/* Naturally aligned and not packed: a packed struct is read byte by byte. */
struct header {
	__u8 magic;
	__u8 kind_flags; /* enum kind in the high nibble, enum flag in the low one */
	__be16 length;	 /* of what follows; bytes behind it are padding */
	__be32 session_high;
	__be32 session_low; /* its low 16 bits find the map entry, then all 64 are compared */
	__be32 index;	    /* DATA: packet index; ACK: base; ACCEPT: the lane's first index. RFC 1982 arithmetic */
	__be32 timestamp;   /* microseconds; ACK echoes DATA's, RETRY and ACCEPT HELLO's; 0: no sample */
	__be32 check;	    /* see check.h */
};

#define DATA_LEAST_BYTES 80 /* DATA is padded to this, so that an ACK of 8 words fits into the same frame */

#define ACK_WORDS_MOST 128 /* of the bitmap, in one ACK: all of a window of 8192 */

struct ack {
	__be32 limit;	 /* drained + window, exclusive */
	__be32 highest;	 /* highest index seen, exclusive */
	__be32 first;	 /* number of the first bitmap word: word n tells of packets 64 n to 64 n + 63 */
	__be32 useless;	 /* retransmissions so far that found their packet placed (as RFC 2883 tells TCP) */
	__be64 bitmap[]; /* 1: placed; what an ACK does not show is unknown, not lost */
};

struct range {
	__be32 first;
	__be32 count;
};

struct nack {
	struct range ranges[1]; /* as many as the length says */
};

#define HELLO_MAGIC "towline1"

struct hello {
	__u8 magic[8];
	__be32 transfer_high; /* chosen by the sender, the same for all lanes of a transfer */
	__be32 transfer_low;
	__be16 lane;
	__be16 lanes;
	__be32 payload_size;
	__be32 ack_every;
	__be32 window;	 /* at most */
	__u8 address[6]; /* where replies go, at levels whose frames carry no source */
	__u8 by_socket;	 /* 1: ACKs are heard by an ordinary socket, not by a program in the sender's driver */
	__u8 unused;
	__u8 cookie[16];   /* zeros at first, then RETRY's */
	__u8 padding[136]; /* no reply may be longer than what asked for it, and a reason wants room */
};

struct retry {
	__be32 transfer_high;
	__be32 transfer_low;
	__be16 lane;
	__be16 unused;
	__u8 cookie[16];
};

struct accept {
	__be32 transfer_high;
	__be32 transfer_low;
	__be16 lane;
	__u8 delivery; /* enum delivery of state.h: the sender acknowledges through its ring on DELIVERY_RING */
	__u8 unused;
	__be32 payload_size;
	__be32 ack_every;
	__be32 window;
	__be32 block_bytes;
};

#define REASON_MOST_BYTES 160

struct reject { /* header.session is 0 */
	__be32 transfer_high;
	__be32 transfer_low;
	__u8 reason[REASON_MOST_BYTES]; /* UTF-8, padded with zeros */
};

struct abort {
	__u8 reason[REASON_MOST_BYTES];
};

struct fin {
	__be32 packets_high; /* this lane's */
	__be32 packets_low;
	__be32 stream_bytes_high; /* all lanes' */
	__be32 stream_bytes_low;
};

struct done {
	__be32 stream_bytes_high;
	__be32 stream_bytes_low;
	__u8 digest[16]; /* xxh3-128 over the blocks' digests in stream order */
};

/* The last bytes of every block, inside the stream's packets. */
struct trailer {
	__be32 number_high;
	__be32 number_low;
	__u8 digest[16]; /* xxh3-128 over the block's bytes and its number (8 bytes, network order) */
};

_Static_assert(sizeof(struct header) == 24, "24 bytes at every level");
_Static_assert(sizeof(struct ack) == 16 && sizeof(struct range) == 8, "ACK and NACK");
_Static_assert(sizeof(struct hello) == 192, "HELLO");
_Static_assert(sizeof(struct retry) == 28 && sizeof(struct accept) == 28, "RETRY and ACCEPT");
_Static_assert(sizeof(struct reject) <= sizeof(struct hello), "no amplification");
_Static_assert(sizeof(struct abort) <= sizeof(struct hello), "no amplification");
_Static_assert(sizeof(struct fin) == 16 && sizeof(struct done) == 24, "FIN and DONE");
_Static_assert(sizeof(struct trailer) == 24, "a block's trailer");

#endif
