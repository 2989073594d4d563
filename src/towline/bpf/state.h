/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel to user: settings, shared memory and counters.
 *
 * Every word has one writer, named beside it, or is changed only by 64-bit atomics. A program that replaces
 * another in a running transfer must agree with it on everything in this file. Where words are is compared when it is
 * loaded; STATE_VERSION is one higher where they have come to mean something else.
 *
 *   receivers[slot]      one lane's state, receiving; slot: the session's low 16 bits
 *   slots[slot]          its payload memory: window slots of payload_size bytes (delivery direct)
 *   records[slot]        its ring buffer of struct record (delivery ring)
 *   gaps[slot or lane]   how long packets were left alone, where somebody wants to know
 *   senders[lane]        one lane's state, sending
 *   lane_of_session      session number -> lane, for what comes back
 *   sources[lane]        its payload memory: window slots of payload_size bytes
 *   schedules[lane]      what the next burst sends
 *   acknowledgements[lane]  ring buffer of struct acknowledgement (delivery ring)
 */
#ifndef TOWLINE_STATE_H
#define TOWLINE_STATE_H

#include <linux/types.h>

#define STATE_VERSION 3
#define WINDOW_MOST 65536
#define BITMAP_WORDS (2 * WINDOW_MOST / 64) /* a ring of twice the largest window: old bits are cleared behind it */
#define WANTED_WORDS (WINDOW_MOST / 64)
#define PAYLOAD_MOST 3384   /* what a live frame holds at level raw */
#define SLOT_SLACK 4096	    /* bytes behind the last slot, so that one comparison bounds every copy */
#define FRAME_MOST 64	    /* bytes in front of the header, at any level */
#define SCHEDULE_MOST 16384 /* entries: the longest burst */
#define RECEIVERS_MOST 64
#define LANES_MOST 16
#define BUCKETS 256
#define POLICY_WORDS 4
#define CACHE_LINE __attribute__((aligned(64)))
#define SHARED SEC(".bss.shared") /* a variable that a program's successor has as well; others begin anew */

enum delivery { DELIVERY_DIRECT, DELIVERY_RING };

struct receiver_state {
	/* User space, before the session's number; the number last. */
	__u64 session;		/* 0: free */
	__u8 frame[FRAME_MOST]; /* what stands in front of the header in packets from the peer */
	__u8 reply[FRAME_MOST]; /* and in what goes back: needed where frames name no source */
	__u32 level;
	__u32 payload_size;
	__u32 ack_every;
	__u32 window;
	__u32 delivery;
	__u32 bounce_ifindex; /* 0: ACKs leave by XDP_TX; else they are redirected to this interface, the packet's own */
	__u32 short_every;    /* every so manieth ring record holds a part of its payload only; 0: none */
	__u32 rtt_us;	      /* of the handshake, with a process at each end: an upper bound; 0: not known */

	/* User space, while it runs. */
	CACHE_LINE __u32 drained; /* slots below it are free */

	/* XDP. */
	CACHE_LINE __u64 lock;	    /* 0, or 1 + the number of the CPU that holds it */
	__u32 cursor;		    /* lowest index not known to be placed; moved when an ACK is due */
	__u32 highest;		    /* highest index seen, exclusive */
	__u32 pending;		    /* packets since the last ACK */
	__u32 next_word;	    /* the next bitmap word that an ACK shows, where not all fit */
	__u32 told_full;	    /* a NACK with FLAG_FULL has left since the last ACK */
	__u32 records;		    /* ring records submitted, for short_every */
	__u32 served_by;	    /* the program_version of the program that took the last packet */
	__u64 policy[POLICY_WORDS]; /* the policy's own; 0 when a program takes over from another */
	__u64 placed;
	__u64 duplicates;
	__u64 useless; /* duplicates with FLAG_AGAIN */
	__u64 out_of_window;
	__u64 ring_full;
	__u64 acks;
	__u64 full_nacks;
	/* XDP, outside the lock: by atomics. */
	__u64 corrupt;
	__u64 malformed;
	__u64 contended;

	/* XDP, published by a full barrier. */
	CACHE_LINE __u32 ready; /* everything below is placed */
	__u32 advertised;	/* limit of the last ACK */

	CACHE_LINE __u64 arrived[BITMAP_WORDS]; /* XDP: bits at or above cursor */
	__u64 wanted[WANTED_WORDS];		/* atomics: set by the program `want`, cleared by `receiver` */
};

/* A ring record of delivery `ring`; record_bytes (see receiver.h) sizes data. */
struct record {
	__u32 index;
	__u16 length; /* what the header said */
	__u16 placed; /* what data holds */
	__u8 data[];
};

/* The argument of the program `want`. */
struct want {
	__u32 slot;
	__u32 word; /* of receiver_state.wanted */
	__u64 bits; /* to set */
};

struct sender_state {
	/* User space, before the start. */
	__u64 session;
	__u8 frame[FRAME_MOST]; /* what stands in front of the header in packets to the peer */
	__u8 reply[FRAME_MOST]; /* and in what comes back */
	__u32 level;
	__u32 payload_size;
	__u32 window;
	__u32 delivery;
	__u32 ifindex;
	__u32 first;  /* the lane's first index */
	__u32 copies; /* of each packet: the redundancy */

	/* User space, between bursts. */
	CACHE_LINE __u32 sent_end; /* every index below it has been scheduled at least once */

	/* Whoever runs the burst. */
	CACHE_LINE __u32 next; /* schedule entry; user space sets it to 0 before a burst */
	__u32 stamp;	       /* microseconds */
	__u64 sent;

	/* XDP. */
	CACHE_LINE __u64 lock;
	__u32 served_by; /* the program_version of the program that heard the last ACK */
	__u32 base;	 /* everything below has been acknowledged (on `ring`: and recorded) */
	__u32 limit;
	__u32 highest;
	__u32 useless;
	__u64 acks;
	__u64 nacks;
	__u64 full_nacks;
	__u64 ring_full;  /* acknowledgement records that had to wait for the next ACK */
	__u64 impossible; /* ACKs for what was never sent */
	/* XDP, outside the lock: by atomics. */
	__u64 corrupt;
	__u64 malformed;
	__u64 contended;
	__u32 rtt_us; /* the latest sample */
	__u32 rtt_samples;
	__u32 rtt_histogram[BUCKETS]; /* see bucket_of() */

	CACHE_LINE __u64 acknowledged[BITMAP_WORDS]; /* XDP: bits at or above base */
	__u32 shown_us[BITMAP_WORDS];		     /* XDP: the echo of the last ACK that showed the word */
};

struct schedule_entry {
	__u32 index;
	__u16 length;
	__u16 flags;
};

struct schedule {
	struct schedule_entry entries[SCHEDULE_MOST]; /* user space, between bursts */
};

/* One individual acknowledgement (count 1), or one range of a NACK, in the sender's ring buffer. */
struct acknowledgement {
	__u16 kind;
	__u16 flags;
	__u32 first;
	__u32 count;
	__u32 unused;
};

/* Metadata in front of a live frame: nobody on the wire knows the secret. */
struct mark {
	__u64 secret;
	__u32 lane;
	__u32 unused;
};

/* How long a session's packets were left alone by the programs, in nanoseconds; only where watch_gaps is set. XDP. */
struct gaps {
	__u64 seen_ns;		  /* the last packet */
	__u64 around_ns;	  /* between the last packet of one program and the first of the next */
	__u32 histogram[BUCKETS]; /* between any two; see bucket_of() */
};

/* What an interface saw that belongs to no session; by atomics. */
struct interface_counters {
	__u64 not_ours;
	__u64 strangers; /* ours by its form, of no session here, or a control message: left to a socket */
};

#endif
