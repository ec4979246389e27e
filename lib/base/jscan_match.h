/* jscan_match.h - the half of the scanner that knows paths: to which of them the value being read belongs, and
 * what is remembered of it. Used by jscan.c alone, which tells it what it reads; it validates nothing.
 *
 * Which paths are still possible is a bit set: every open container has the set of paths that lead into it, and a
 * member's name removes what it does not spell, at its first byte nearly all. Where the set is empty, nothing is done. */
#ifndef TOLLGATE_BASE_JSCAN_MATCH_H
#define TOLLGATE_BASE_JSCAN_MATCH_H

#include "lib/base/jscan.h"

#define MATCH_INITIALS 32 /* letters that differ in their low bits, which is all of one case */

struct match_level {
    uint64_t paths;   /* those that may find their value inside this container */
    uint64_t targets; /* those whose value this container is */
    uint32_t count;   /* members or elements so far */
    bool is_object;
};

struct match_path {
    size_t segment_count;
    struct span segments[JSCAN_SEGMENTS];
    struct jscan_hit hit;
};

struct match {
    unsigned depth; /* open containers */
    uint64_t
        text_paths; /* those that want the bytes of the string or number being read, or of the name */
    uint64_t value_paths;  /* those whose value the scalar being read is */
    uint64_t member_paths; /* those that the name just read leads into */
    bool in_name;
    size_t name_len;
    uint64_t key_start;
    struct match_level levels[JSCAN_DEPTH];
    uint64_t wild[JSCAN_SEGMENTS];                    /* paths whose n-th segment is '*' */
    uint64_t last[JSCAN_SEGMENTS];                    /* paths of which it is the last */
    uint64_t initial[JSCAN_SEGMENTS][MATCH_INITIALS]; /* paths whose n-th segment begins so */
    size_t path_count;
    struct match_path paths[];
};

struct match *match_new(const char *const *paths, size_t count) MUST_USE;
void match_free(struct match *m);
void match_reset(struct match *m);

/* A member's name: its opening quote, its unescaped bytes in pieces, its end. */
void match_name_begin(struct match *m, uint64_t at);
void match_name_end(struct match *m);
/* A value that is no container: its first byte, a string's or number's bytes in pieces, one past its last byte. */
void match_scalar_begin(struct match *m, enum jscan_type type, uint64_t at);
void match_scalar_end(struct match *m, uint64_t at);
/* A container; the caller sees to it that there are never more than JSCAN_DEPTH. */
void match_open(struct match *m, enum jscan_type type, uint64_t at);
void match_close(struct match *m, uint64_t at);

void match_wanted_text(struct match *m, const char *bytes, size_t n);
static inline void match_text(struct match *m, const char *bytes, size_t n)
{
    if (m->text_paths)
        match_wanted_text(m, bytes, n);
}

static inline bool match_in_object(const struct match *m)
{
    return m->depth > 0 && m->levels[m->depth - 1].is_object;
}

#endif
