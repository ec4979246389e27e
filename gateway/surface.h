/* surface.h - the kinds of call that clients can make: what a model may serve, and what each kind has. */
#ifndef TOLLGATE_GATEWAY_SURFACE_H
#define TOLLGATE_GATEWAY_SURFACE_H

#include "backends/kind.h"

enum surface { SURFACE_CHAT, SURFACE_COMPLETIONS, SURFACE_EMBEDDINGS, SURFACE_MESSAGES, SURFACES };

struct surface_row {
    const char *name; /* as catalogues list it: "embeddings" */
    enum surface
        of; /* the one that a catalogue lists for it: itself, or that which is translated */
    const char *path; /* where clients call it */
    enum dialect dialect;
    bool has_output;       /* tokens are written, so a cap bounds them */
    const char *cap_field; /* how clients of it call that cap; null: there is none */
    int64_t cap_default;   /* the output cap of a call that gives none; 0: the model's maximum */
};
const struct surface_row *surface_row(enum surface s);
/* False: no catalogue lists such a one. */
bool surface_find(struct span name, enum surface *out) MUST_USE;

/* What a model serves, one bit a surface. */
static inline unsigned surface_bit(enum surface s)
{
    return 1u << s;
}

#endif
