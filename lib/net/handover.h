/* handover.h - of the payload written into a framed byte stream, how much has left with what the socket took.
 *
 * Every piece of payload is noted with the stream offset at which it begins. When pieces pile up, neighbours are noted
 * together with the framing bytes between them, as if those all came first: the answer is then a lower bound, and exact
 * again when everything was taken. It decides what a client that hung up pays for. */
#ifndef TOLLGATE_NET_HANDOVER_H
#define TOLLGATE_NET_HANDOVER_H

#include "lib/base/attr.h"

#define HANDOVER_RUNS 16

struct handover {
    uint64_t offered; /* payload bytes noted so far */
    unsigned count;
    struct handover_run {
        uint64_t start;         /* in the stream */
        uint64_t framing;       /* bytes in it that are no payload */
        uint64_t payload_start; /* payload bytes before it */
        uint64_t payload;
    } runs[HANDOVER_RUNS]; /* not yet wholly taken, in order */
};

/* n payload bytes begin at `offset` of the stream, of which the socket has taken `taken` bytes. Starts zeroed. */
void handover_add(struct handover *h, uint64_t offset, uint64_t n, uint64_t taken);
/* Payload bytes that left when `taken` bytes of the stream did. */
uint64_t handover_taken(const struct handover *h, uint64_t taken);

#endif
