/* journal_fixture.c - see the header. */
#include "tests/billing/journal_fixture.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define WAIT_MS 60000

static void read_segment(const struct segment_file *file, uint64_t end, struct fixture_lines *out);

/* In memory where there is such a place: no test needs the disk to be real. */
void fixture_open(struct journal_fixture *f)
{
    AUTO_STRING top = xasprintf("%s/tollgate-journal-XXXXXX",
                                access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    struct err err;

    ck_assert(mkdtemp(top));
    ck_assert(clock_set_zone("Asia/Shanghai", &err));
    fixture_set_clock(FIXTURE_NOW);
    f->top = xstrdup(top);
    f->root = path_join(top, "journal");
    f->archive = path_join(top, "archive");
    f->config = (struct journal_config){.root = f->root,
                                        .archive = f->archive,
                                        .installation = "inst-test",
                                        .segment_bytes = FIXTURE_SEGMENT,
                                        .segment_age_ms = 3600000};
    f->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_ge(f->notify_fd, 0);
}

void fixture_clear(struct journal_fixture *f)
{
    fixture_remove(f->top);
    close(f->notify_fd);
    free(f->top);
    free(f->root);
    free(f->archive);
}

void fixture_set_clock(int64_t nanos)
{
    clock_set_offset(0);
    clock_set_offset(nanos - clock_now());
}

struct journal *fixture_without_thread(struct journal_fixture *f)
{
    struct err err;
    struct journal *j = journal_open(&f->config, NULL, &err);

    ck_assert_msg(j, "%s", err.text);
    return j;
}

struct journal *fixture_journal(struct journal_fixture *f)
{
    struct err err;
    struct journal *j = fixture_without_thread(f);

    ck_assert_msg(journal_start(j, f->notify_fd, &err), "%s", err.text);
    return j;
}

char *fixture_dir(const struct journal_fixture *f, unsigned number)
{
    return xasprintf("%s/%04u", f->root, number);
}

void fixture_request_id(unsigned i, char out[REQUEST_ID_TEXT])
{
    snprintf(out, REQUEST_ID_TEXT, "req_%032x", i);
}

/* Without Check: tests run this where memory is refused, which Check does not survive. */
struct event fixture_event(struct journal *j, unsigned i)
{
    struct event e = {.owner_count = 1, .share_bp = 7000, .outcome = OUTCOME_COMPLETE};

    fixture_request_id(i, e.request_id);
    snprintf(e.account, sizeof e.account, "account-%u", i % 5);
    snprintf(e.key, sizeof e.key, "%02uabcdefghij", i % 5);
    snprintf(e.owners[0].id, sizeof e.owners[0].id, "demo");
    e.owners[0].weight = 1;
    snprintf(e.model, sizeof e.model, "demo/model-%u", i % 3);
    snprintf(e.backend, sizeof e.backend, "echo");
    snprintf(e.price, sizeof e.price, "demo-price@2026-01-01T00:00:00.000Z");
    snprintf(e.contract, sizeof e.contract, "demo@2026-01-01T00:00:00.000Z");
    if (!used_set(&e.used, unit_find(SPAN("input_tokens")), i, FROM_UPSTREAM, NULL) ||
        !used_set(&e.used, unit_find(SPAN("output_tokens")), 2, COUNTED, NULL))
        abort();
    snprintf(e.amount.currency, sizeof e.amount.currency, "CNY");
    e.amount.nanos = 1000 + i;
    e.started_at = e.ended_at = journal_now(j);
    e.period = e.orig_period = period_of(e.ended_at);
    return e;
}

void fixture_call(struct journal *j, unsigned i, journal_on_durable *on_durable, void *arg)
{
    struct event e = fixture_event(j, i);
    struct err err;

    ck_assert_msg(journal_reserve(j, &err), "%s", err.text);
    journal_begin(j, &e, NULL, NULL);
    journal_progress(j, &e);
    journal_call(j, &e, on_durable, arg);
}

void fixture_count(void *arg)
{
    ++*(size_t *)arg;
}

void fixture_wait(struct journal_fixture *f, struct journal *j, const size_t *counter, size_t want)
{
    struct pollfd fd = {.fd = f->notify_fd, .events = POLLIN};
    uint64_t told;

    journal_completed(j);
    while (*counter < want) {
        ck_assert_msg(poll(&fd, 1, WAIT_MS) == 1, "the journal does not answer");
        if (read(f->notify_fd, &told, sizeof told) < 0)
            ck_assert_int_eq(errno, EAGAIN);
        journal_completed(j);
    }
    ck_assert_uint_eq(*counter, want);
}

void fixture_read(const char *dir, struct fixture_lines *out)
{
    struct segment_header first;
    struct segment_file *files;
    size_t count;
    struct err err;

    memset(out, 0, sizeof *out);
    ck_assert_msg(segment_list(dir, &files, &count, &err), "%s", err.text);
    ck_assert_msg(segment_header_read(files[0].path, &first, &err), "%s", err.text);
    out->heads = first.heads;
    for (size_t i = 0; i < count; i++)
        read_segment(&files[i], i + 1 < count ? files[i + 1].position : UINT64_MAX, out);
    segment_list_free(files, count);
}

static void read_segment(const struct segment_file *file, uint64_t end, struct fixture_lines *out)
{
    struct err err;
    AUTO(segment_reader) r = segment_reader_open(file->path, file->position, &err);
    struct record_head head;
    struct frame f;

    ck_assert_msg(r, "%s", err.text);
    while (segment_reader_position(r) < end && segment_reader_next(r, &f, &err) == 1) {
        ck_assert_msg(record_head_parse(f.json, &head, &err), "%s", err.text);
        if (!record_is_archived(head.kind))
            continue;
        ck_assert_msg(record_heads_advance(&out->heads, &head.place, f.crc, &err), "%s", err.text);
        out->line = xrealloc_array(out->line, out->count + 1, sizeof *out->line);
        out->line[out->count++] = xstrndup(f.json.data, f.json.len);
    }
}

void fixture_lines_clear(struct fixture_lines *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->line[i]);
    free(l->line);
}

size_t fixture_ends(const struct fixture_lines *l, unsigned i)
{
    char id[REQUEST_ID_TEXT];
    size_t n = 0;

    fixture_request_id(i, id);
    for (size_t k = 0; k < l->count; k++)
        n += strncmp(l->line[k], "{\"kind\":\"call\"", 14) == 0 && strstr(l->line[k], id) != NULL;
    return n;
}

size_t fixture_of_kind(const struct fixture_lines *l, const char *kind)
{
    AUTO_STRING start = xasprintf("{\"kind\":\"%s\"", kind);
    size_t n = 0;

    for (size_t k = 0; k < l->count; k++)
        n += strncmp(l->line[k], start, strlen(start)) == 0;
    return n;
}

size_t fixture_sealed_segments(const struct journal_fixture *f)
{
    AUTO_STRING dir = fixture_dir(f, 1);
    struct segment_file *files;
    size_t count, sealed = 0;

    ck_assert(segment_list(dir, &files, &count, NULL));
    for (size_t i = 0; i < count; i++)
        sealed += files[i].sealed;
    ck_assert(!files[count - 1].sealed && sealed == count - 1);
    segment_list_free(files, count);
    return sealed;
}

/* Hidden names, too: dir_list() does not show those. */
void fixture_remove(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        AUTO_STRING inner = path_join(path, entry->d_name);

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fixture_remove(inner);
    }
    if (dir)
        closedir(dir);
    remove(path);
}

void fixture_copy(const char *from, const char *to)
{
    struct err err;
    size_t count;
    char **names;

    ck_assert(mkdir(to, 0700) == 0 || errno == EEXIST);
    ck_assert_msg(dir_list(from, &names, &count, &err), "%s", err.text);
    for (size_t i = 0; i < count; i++) {
        AUTO_STRING source = path_join(from, names[i]);
        AUTO_STRING copy = path_join(to, names[i]);
        AUTO_CLEAR(buf) bytes;

        buf_init(&bytes, 1 << 24);
        ck_assert_msg(file_read(source, &bytes, &err), "%s", err.text);
        ck_assert_msg(file_write_atomic(copy, 0600, buf_span(&bytes), &err), "%s", err.text);
    }
    dir_names_free(names, count);
}
