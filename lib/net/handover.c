/* handover.c - a short list of runs; the oldest leave when they are taken, the newest grow when the list is full. */
#include "lib/net/handover.h"

#include <string.h>

static void forget_taken(struct handover *h, uint64_t taken);
static uint64_t run_end(const struct handover_run *run);

void handover_add(struct handover *h, uint64_t offset, uint64_t n, uint64_t taken)
{
    struct handover_run *last;

    if (n == 0)
        return;
    forget_taken(h, taken);
    last = h->count ? &h->runs[h->count - 1] : NULL;
    if (last && (h->count == HANDOVER_RUNS || run_end(last) == offset)) {
        last->framing += offset - run_end(last);
        last->payload += n;
    } else {
        h->runs[h->count++] = (struct handover_run){
            .start = offset,
            .payload_start = h->offered,
            .payload = n,
        };
    }
    h->offered += n;
}

static void forget_taken(struct handover *h, uint64_t taken)
{
    unsigned gone = 0;

    while (gone < h->count && run_end(&h->runs[gone]) <= taken)
        gone++;
    h->count -= gone;
    if (gone)
        memmove(h->runs, h->runs + gone, h->count * sizeof h->runs[0]);
}

static uint64_t run_end(const struct handover_run *run)
{
    return run->start + run->framing + run->payload;
}

uint64_t handover_taken(const struct handover *h, uint64_t taken)
{
    for (unsigned i = 0; i < h->count; i++) {
        const struct handover_run *run = &h->runs[i];
        uint64_t before = run->start + run->framing;

        if (taken < run_end(run))
            return run->payload_start + (taken > before ? taken - before : 0);
    }
    return h->offered;
}
