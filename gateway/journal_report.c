/* journal_report.c - a directory's last segment says in its header what stood before it; its frames say the rest. */
#include "gateway/journal_report.h"

#include <stdlib.h>

#include "billing/journal_home.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

static bool read_entry(const char *dir, struct journal_entry *e, bool *is_there, struct err *err);
static bool read_last_segment(const struct segment_file *file, struct journal_entry *e,
                              struct err *err);
static bool take_record(struct journal_entry *e, const struct frame *frame, struct err *err);

bool journal_report_read(const char *root, struct journal_report *out, struct err *err)
{
    AUTO_CLEAR(journal_report) report = {.count = 0};
    char **names;
    size_t count;
    bool ok = true;

    if (!file_exists(root)) {
        *out = report;
        return true;
    }
    if (!dir_list(root, &names, &count, err))
        return false;
    report.entries = xcalloc(count + 1, sizeof *report.entries);
    for (size_t i = 0; ok && i < count; i++) {
        if (!journal_home_is_name(names[i]))
            continue;
        AUTO_STRING dir = path_join(root, names[i]);
        bool is_there = false;

        ok = read_entry(dir, &report.entries[report.count], &is_there, err);
        report.count += is_there;
    }
    dir_names_free(names, count);
    if (!ok)
        return false;
    *out = report;
    report = (struct journal_report){.count = 0};
    return true;
}

const struct journal_entry *journal_report_find(const struct journal_report *r, const char *writer)
{
    for (const struct journal_entry *e = r->entries; e < r->entries + r->count; e++)
        if (!e->is_damaged && strcmp(e->writer, writer) == 0)
            return e;
    return NULL;
}

void journal_report_clear(struct journal_report *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->entries[i].dir);
    free(r->entries);
    *r = (struct journal_report){.count = 0};
}

static bool read_entry(const char *dir, struct journal_entry *e, bool *is_there, struct err *err)
{
    AUTO_STRING lock = path_join(dir, "lock");
    AUTO_STRING damaged = path_join(dir, "damaged");
    struct segment_file *files;
    size_t count;
    bool ok;

    if (!segment_list(dir, &files, &count, err))
        return false;
    if (!count) {
        segment_list_free(files, count);
        return true;
    }
    *e = (struct journal_entry){.owner = file_lock_owner(lock),
                                .is_damaged = file_exists(damaged),
                                .segments = count,
                                .last_segment = files[count - 1].number,
                                .last_is_sealed = files[count - 1].sealed};
    for (size_t i = 0; i < count; i++)
        e->sealed += files[i].sealed;
    ok = read_last_segment(&files[count - 1], e, err) || e->is_damaged;
    segment_list_free(files, count);
    if (!ok)
        return false;
    e->dir = xstrdup(dir);
    *is_there = true;
    return true;
}

/* A frame that is being written just now is simply not there yet. */
static bool read_last_segment(const struct segment_file *file, struct journal_entry *e,
                              struct err *err)
{
    AUTO(segment_reader) reader = segment_reader_open(file->path, file->position, err);
    struct segment_header *header;
    struct frame frame;
    bool ok;

    if (!reader || segment_reader_next(reader, &frame, err) != 1)
        return false;
    header = xcalloc(1, sizeof *header);
    ok = segment_header_parse(frame.json, header, err);
    if (ok) {
        memcpy(e->writer, header->writer, sizeof e->writer);
        e->heads = header->heads;
    }
    free(header);
    while (ok && segment_reader_next(reader, &frame, NULL) == 1)
        ok = take_record(e, &frame, err);
    if (file->sealed)
        e->unsealed_records = 0;
    return ok;
}

static bool take_record(struct journal_entry *e, const struct frame *frame, struct err *err)
{
    struct record_head head;

    if (!record_head_parse(frame->json, &head, err))
        return false;
    e->unsealed_records += record_is_numbered(head.kind) || head.kind == RECORD_SEAL;
    for (int side = 0; side < SIDES; side++)
        if (head.place.on[side])
            e->heads.at[side][head.place.partition[side]] =
                (struct record_cursor){head.place.n[side], frame->crc};
    return true;
}

uint64_t journal_entry_records(const struct journal_entry *e)
{
    uint64_t sum = 0;

    for (int side = 0; side < SIDES; side++)
        for (size_t p = 0; p < PARTITIONS; p++)
            sum += e->heads.at[side][p].n;
    return sum;
}

void journal_entry_write(const struct journal_entry *e, struct jw *w)
{
    jw_string_member(w, "dir", e->dir);
    jw_int_member(w, "owner_pid", e->owner);
    jw_bool_member(w, "damaged", e->is_damaged);
    jw_int_member(w, "segments", (int64_t)e->segments);
    jw_int_member(w, "sealed", (int64_t)e->sealed);
    jw_int_member(w, "unsealed_records", (int64_t)e->unsealed_records);
    jw_int_member(w, "record_places", (int64_t)journal_entry_records(e));
}
