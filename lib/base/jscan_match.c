/* jscan_match.c - bit n of every set stands for path n, so following 32 paths costs what following one does. */
#include "lib/base/jscan_match.h"

#include <assert.h>

#include "lib/base/mem.h"

static void split(struct match *m, size_t index, const char *path);
static unsigned initial(const char *name);
static void clear_hit(struct jscan_hit *hit);
static uint64_t paths_of_value(struct match *m, uint64_t at);
static uint64_t last_segments(const struct match *m);
static void begin_hits(struct match *m, uint64_t targets, enum jscan_type type, uint64_t at);
static void narrow_name(struct match *m, const char *bytes, size_t n);
static void capture(struct match *m, const char *bytes, size_t n);

/* Runs the statement for every path in the set, lowest first. */
#define FOR_EACH_PATH(m, set, p)                            \
    for (uint64_t left_ = (set); left_; left_ &= left_ - 1) \
        for (struct match_path *p = &(m)->paths[__builtin_ctzll(left_)]; p; p = NULL)

struct match *match_new(const char *const *paths, size_t count)
{
    struct match *m = xcalloc(1, sizeof *m + count * sizeof m->paths[0]);

    assert(count <= JSCAN_PATHS);
    m->path_count = count;
    for (size_t i = 0; i < count; i++)
        split(m, i, paths[i]);
    return m;
}

static void split(struct match *m, size_t index, const char *path)
{
    struct match_path *p = &m->paths[index];
    uint64_t bit = UINT64_C(1) << index;

    for (const char *at = path;; at++) {
        size_t len = strcspn(at, ".");

        assert(p->segment_count < JSCAN_SEGMENTS);
        p->segments[p->segment_count] = (struct span){at, len};
        if (len == 1 && at[0] == '*')
            m->wild[p->segment_count] |= bit;
        m->initial[p->segment_count][initial(at)] |= bit;
        p->segment_count++;
        at += len;
        if (*at == '\0')
            break;
    }
    m->last[p->segment_count - 1] |= bit;
}

static unsigned initial(const char *name)
{
    return (unsigned char)name[0] % MATCH_INITIALS;
}

void match_free(struct match *m)
{
    free(m);
}

void match_reset(struct match *m)
{
    m->depth = 0;
    m->in_name = false;
    m->text_paths = m->value_paths = m->member_paths = 0;
    for (size_t i = 0; i < m->path_count; i++)
        clear_hit(&m->paths[i].hit);
}

/* The text's 256 bytes need no clearing but the first. */
static void clear_hit(struct jscan_hit *hit)
{
    memset(hit, 0, offsetof(struct jscan_hit, text));
    hit->text[0] = '\0';
}

void match_name_begin(struct match *m, uint64_t at)
{
    const struct match_level *level = &m->levels[m->depth - 1];

    m->in_name = true;
    m->name_len = 0;
    m->key_start = at;
    m->text_paths = level->paths ? level->paths & ~m->wild[m->depth - 1] : 0;
}

void match_name_end(struct match *m)
{
    m->member_paths = 0;
    FOR_EACH_PATH(m, m->text_paths, p)
    if (p->segments[m->depth - 1].len == m->name_len)
        m->member_paths |= UINT64_C(1) << (p - m->paths);
    m->text_paths = 0;
    m->in_name = false;
}

void match_scalar_begin(struct match *m, enum jscan_type type, uint64_t at)
{
    uint64_t paths = paths_of_value(m, at);

    m->value_paths = paths ? paths & last_segments(m) : 0;
    m->text_paths = type == JSCAN_STRING || type == JSCAN_NUMBER ? m->value_paths : 0;
    begin_hits(m, m->value_paths, type, at);
}

/* The paths that lead to or through the value that begins now. */
static uint64_t paths_of_value(struct match *m, uint64_t at)
{
    struct match_level *level;

    if (m->depth == 0)
        return m->path_count < JSCAN_PATHS ? (UINT64_C(1) << m->path_count) - 1 : UINT64_MAX;
    level = &m->levels[m->depth - 1];
    level->count++;
    if (level->is_object)
        return m->member_paths;
    m->key_start = at;
    return level->paths ? level->paths & m->wild[m->depth - 1] : 0;
}

/* The text's outermost value is no member of anything: no path ends there. */
static uint64_t last_segments(const struct match *m)
{
    return m->depth > 0 ? m->last[m->depth - 1] : 0;
}

static void begin_hits(struct match *m, uint64_t targets, enum jscan_type type, uint64_t at)
{
    FOR_EACH_PATH(m, targets, p)
    {
        struct jscan_hit *hit = &p->hit;
        uint32_t seen = hit->seen, nonempty = hit->nonempty;

        clear_hit(hit);
        hit->seen = seen + 1;
        hit->nonempty = nonempty;
        hit->type = type;
        hit->key_start = m->key_start;
        hit->start = at;
    }
}

void match_scalar_end(struct match *m, uint64_t at)
{
    FOR_EACH_PATH(m, m->value_paths, p)
    {
        p->hit.end = at;
        if (p->hit.type == JSCAN_STRING && p->hit.text_len > 0)
            p->hit.nonempty++;
    }
    m->value_paths = m->text_paths = 0;
}

void match_open(struct match *m, enum jscan_type type, uint64_t at)
{
    uint64_t paths = paths_of_value(m, at);
    uint64_t targets = paths ? paths & last_segments(m) : 0;

    assert(m->depth < JSCAN_DEPTH);
    begin_hits(m, targets, type, at);
    m->levels[m->depth++] = (struct match_level){
        .paths = paths & ~targets, .targets = targets, .is_object = type == JSCAN_OBJECT};
}

void match_close(struct match *m, uint64_t at)
{
    const struct match_level *level;

    assert(m->depth > 0);
    level = &m->levels[--m->depth];
    FOR_EACH_PATH(m, level->targets, p)
    {
        p->hit.end = at;
        p->hit.count = level->count;
    }
}

void match_wanted_text(struct match *m, const char *bytes, size_t n)
{
    if (m->in_name)
        narrow_name(m, bytes, n);
    else
        capture(m, bytes, n);
}

static void narrow_name(struct match *m, const char *bytes, size_t n)
{
    uint64_t still = 0;

    if (m->name_len == 0)
        m->text_paths &= m->initial[m->depth - 1][initial(bytes)];
    FOR_EACH_PATH(m, m->text_paths, p)
    {
        struct span wanted = p->segments[m->depth - 1];

        if (n <= wanted.len - m->name_len && memcmp(wanted.data + m->name_len, bytes, n) == 0)
            still |= UINT64_C(1) << (p - m->paths);
    }
    m->text_paths = still;
    m->name_len += n;
}

/* A text that is full leaves the set: the rest of a long string costs nothing. */
static void capture(struct match *m, const char *bytes, size_t n)
{
    FOR_EACH_PATH(m, m->text_paths, p)
    {
        struct jscan_hit *hit = &p->hit;
        size_t room = JSCAN_TEXT - 1 - hit->text_len;
        size_t taken = n < room ? n : room;

        memcpy(hit->text + hit->text_len, bytes, taken);
        hit->text_len += taken;
        hit->text[hit->text_len] = '\0';
        if (taken < n) {
            hit->text_cut = true;
            m->text_paths &= ~(UINT64_C(1) << (p - m->paths));
        }
    }
}
