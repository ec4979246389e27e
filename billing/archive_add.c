/* archive_add.c - sealed segments into the archive. A segment is read twice: its header comes first in the file. */
#include <string.h>

#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/archive_put.h"
#include "billing/journal_home.h"
#include "billing/journal_state.h"
#include "billing/retirement.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define DIRECTORY_MODE 0755

/* One writer's files, in order: what the next one has to name. */
struct chain {
    const char *archive;
    char writer[WRITER_TEXT];
    char installation[INSTALLATION_TEXT];
    uint64_t last;
    char sha256[SHA256_HEX]; /* of the last, "" before the first */
};

struct lines {
    const struct segment_file *file;
    struct segment_reader *reader;
};

static bool add_directory(const char *archive, const char *dir, size_t *added, struct err *err);
static bool start_chain(struct chain *c, struct err *err);
static bool add_segments(struct chain *c, const struct segment_file *files, size_t count,
                         size_t *added, struct err *err);
static bool add_segment(struct chain *c, const struct segment_file *f, struct err *err);
static int next_line(void *arg, struct span *line, struct err *err);
static bool survey(const struct segment_file *f, struct archive_header *h, struct err *err);
static int next_archived(struct segment_reader *r, const struct segment_file *f, struct frame *out,
                         struct err *err);

bool archive_add_sealed(const char *archive, const char *journal_root, size_t *added,
                        struct err *err)
{
    struct err why, first = {0};
    char **names;
    size_t count;

    *added = 0;
    if (!dir_list(journal_root, &names, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        AUTO_STRING dir = path_join(journal_root, names[i]);

        if (journal_home_is_name(names[i]) && !add_directory(archive, dir, added, &why) &&
            first.code == ERR_NONE)
            first = why;
    }
    dir_names_free(names, count);
    return first.code == ERR_NONE || err_set(err, first.code, "%s", first.text);
}

/* A directory that is being made has no writer yet, and nothing to archive; one of a retired writer can only be adopted. */
static bool add_directory(const char *archive, const char *dir, size_t *added, struct err *err)
{
    struct journal_home home = {0};
    struct chain c = {.archive = archive};
    struct segment_file *files;
    struct err why;
    size_t count;
    bool ok;

    if (!journal_home_identity(dir, &home, &why))
        return why.code == ERR_NOT_FOUND || err_set(err, why.code, "%s", why.text);
    if (retirement_is_final(archive, home.writer))
        return true;
    memcpy(c.writer, home.writer, sizeof c.writer);
    memcpy(c.installation, home.installation, sizeof c.installation);
    if (!segment_list(dir, &files, &count, err))
        return false;
    ok = add_segments(&c, files, count, added, err);
    segment_list_free(files, count);
    return ok;
}

static bool add_segments(struct chain *c, const struct segment_file *files, size_t count,
                         size_t *added, struct err *err)
{
    bool is_started = false;

    if (!archive_last_segment(c->archive, c->writer, &c->last, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!files[i].sealed || files[i].number <= c->last)
            continue;
        if (files[i].number != c->last + 1)
            return err_set(err, ERR_CORRUPT, "%s: segment %llu is neither here nor archived",
                           files[i].path, (unsigned long long)c->last + 1);
        if (!is_started && !start_chain(c, err))
            return false;
        is_started = true;
        if (!add_segment(c, &files[i], err))
            return false;
        ++*added;
    }
    return true;
}

static bool start_chain(struct chain *c, struct err *err)
{
    AUTO_STRING dir = archive_dir(c->archive, c->writer);
    AUTO_STRING path = archive_path(c->archive, c->writer, c->last);
    struct archive_header h;

    if (c->last == 0)
        return dir_ensure(dir, DIRECTORY_MODE, err);
    return archive_file_digest(path, &h, c->sha256, err);
}

static bool add_segment(struct chain *c, const struct segment_file *f, struct err *err)
{
    struct archive_header h = {.segment = f->number};
    struct lines lines = {.file = f};
    char sha256[SHA256_HEX];
    bool ok;

    memcpy(h.writer, c->writer, sizeof h.writer);
    memcpy(h.installation, c->installation, sizeof h.installation);
    memcpy(h.previous, c->sha256, sizeof h.previous);
    if (!survey(f, &h, err))
        return false;
    lines.reader = segment_reader_open(f->path, f->position, err);
    ok = lines.reader && archive_put(c->archive, &h, next_line, &lines, sha256, err);
    segment_reader_free(lines.reader);
    if (!ok)
        return false;
    c->last = f->number;
    memcpy(c->sha256, sha256, sizeof c->sha256);
    return true;
}

static int next_line(void *arg, struct span *line, struct err *err)
{
    struct lines *l = arg;
    struct frame frame;
    int got = next_archived(l->reader, l->file, &frame, err);

    if (got == 1)
        *line = frame.json;
    return got;
}

/* What will be archived, all told: the header comes first in the file. */
static bool survey(const struct segment_file *f, struct archive_header *h, struct err *err)
{
    AUTO(segment_reader) r = segment_reader_open(f->path, f->position, err);
    struct segment_header segment;
    struct record_effect effect;
    struct frame frame;
    int got = -1;

    if (!r || !segment_header_read(f->path, &segment, err))
        return false;
    if (strcmp(segment.writer, h->writer) != 0 || segment.segment != f->number)
        return err_set(err, ERR_CORRUPT, "%s is another writer's or another segment", f->path);
    h->totals = segment.totals;
    h->heads = segment.heads;
    while ((got = next_archived(r, f, &frame, err)) == 1) {
        if (!record_effect_parse(frame.json, frame.crc, &effect, err))
            return err_context(err, "%s, offset %llu", f->path,
                               (unsigned long long)(frame.position - f->position));
        if (!archive_header_take(h, &effect, err))
            return err_context(err, "%s", f->path);
    }
    return got == 0;
}

/* A sealed segment has frames up to its last byte. */
static int next_archived(struct segment_reader *r, const struct segment_file *f, struct frame *out,
                         struct err *err)
{
    struct record_head head;
    int got;

    while ((got = segment_reader_next(r, out, err)) == 1) {
        if (!record_head_parse(out->json, &head, err))
            return -1;
        if (record_is_archived(head.kind))
            return 1;
    }
    if (got == 0 && segment_reader_position(r) != f->position + f->size) {
        err_set(err, ERR_CORRUPT, "%s, offset %llu: ends too early", f->path,
                (unsigned long long)(segment_reader_position(r) - f->position));
        return -1;
    }
    return got;
}
