/* archive_fixture.c - see the header. */
#include "tests/billing/archive_fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "billing/archive.h"
#include "lib/base/clock.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "tests/billing/faulty_disk.h"

struct journal_fixture f;
char *dir;

void set_up(void)
{
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
    fixture_open(&f);
    dir = fixture_dir(&f, 1);
}

void tear_down(void)
{
    disk_arm(FAULT_NONE, 0, NULL, NULL, 0);
    free(dir);
    fixture_clear(&f);
}

char *fill(unsigned segments, unsigned calls)
{
    struct err err;
    struct journal *j = journal_open(&f.config, NULL, &err);
    static unsigned i;
    char *writer;

    ck_assert_msg(j, "%s", err.text);
    writer = xstrdup(journal_writer(j));
    for (unsigned s = 0; s < segments; s++) {
        for (unsigned k = 0; k < calls; k++)
            fixture_call(j, i++, NULL, NULL);
        journal_seal(j, NULL, NULL);
        journal_completed(j);
        fixture_set_clock(clock_now() + DAY);
    }
    journal_free(j);
    return writer;
}

size_t add(void)
{
    struct err err;
    size_t added;

    ck_assert_msg(archive_add_sealed(f.archive, f.root, &added, &err), "%s", err.text);
    return added;
}

int read_archive(const char *writer, struct fixture_lines *out, struct err *err)
{
    AUTO(archive_reader) r = archive_reader_open(f.archive, writer, err);
    struct record_head head;
    struct span line;
    uint32_t crc;
    int got = -1;

    memset(out, 0, sizeof *out);
    while (r && (got = archive_reader_next(r, &head, &line, &crc, err)) == 1) {
        ck_assert_uint_eq(crc, crc32c(0, line.data, line.len));
        out->line = xrealloc_array(out->line, out->count + 1, sizeof *out->line);
        out->line[out->count++] = xstrndup(line.data, line.len);
    }
    return got;
}

void check_same_as_journal(const char *writer)
{
    struct fixture_lines journal, archive;
    struct err err;

    fixture_read(dir, &journal);
    ck_assert_msg(read_archive(writer, &archive, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(archive.count, journal.count);
    for (size_t i = 0; i < journal.count; i++)
        ck_assert_str_eq(archive.line[i], journal.line[i]);
    fixture_lines_clear(&journal);
    fixture_lines_clear(&archive);
}
