/* archive_reader.c - a writer's records for ever, in order. Everything that ties one line to the next is checked on the
 * way: the chain of hashes, the count that each file states, and the numbers themselves. */
#include "billing/archive.h"
#include "billing/archive_file.h"
#include "billing/zstd_file.h"
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"

struct archive_reader {
    char *archive;
    char writer[WRITER_TEXT];
    uint64_t last; /* segment */
    struct archive_header header;
    uint64_t lines, calls, catalogue, refunds, funds; /* returned of this file */
    struct zstd_reader *file;
    char *path;
    struct record_heads heads;
    char chain[SHA256_HEX]; /* of the file before */
    bool passed;            /* that file was passed over: its hash is not known */
};

static bool open_next(struct archive_reader *r, struct err *err);
static bool check_header(const struct archive_reader *r, const struct archive_header *h,
                         struct err *err);
static bool end_file(struct archive_reader *r, struct err *err);
static bool check_record(struct archive_reader *r, const struct record_head *head, uint32_t crc,
                         struct err *err);
static bool refuse(const struct archive_reader *r, struct err *err);

struct archive_reader *archive_reader_open(const char *archive, const char *writer, struct err *err)
{
    AUTO(archive_reader) r = xcalloc(1, sizeof *r);

    r->archive = xstrdup(archive);
    if (!writer_is_valid(span_of(writer)) || !span_copy(span_of(writer), r->writer, WRITER_TEXT)) {
        err_set(err, ERR_INPUT, "\"%.40s\" is no writer", writer);
        return NULL;
    }
    if (!archive_last_segment(archive, writer, &r->last, err))
        return NULL;
    return KEEP(r);
}

void archive_reader_free(struct archive_reader *r)
{
    if (!r)
        return;
    zstd_reader_free(r->file);
    free(r->path);
    free(r->archive);
    free(r);
}

int archive_reader_next(struct archive_reader *r, struct record_head *head, struct span *line,
                        uint32_t *crc, struct err *err)
{
    for (;;) {
        int got = r->file ? 1 : archive_reader_enter(r, err);

        if (got == 1)
            got = archive_reader_line(r, head, line, crc, err);
        else
            return got;
        if (got != 0)
            return got;
    }
}

int archive_reader_enter(struct archive_reader *r, struct err *err)
{
    if (r->header.segment == r->last)
        return 0;
    return open_next(r, err) ? 1 : -1;
}

int archive_reader_line(struct archive_reader *r, struct record_head *head, struct span *line,
                        uint32_t *crc, struct err *err)
{
    int got = zstd_reader_line(r->file, RECORD_BYTES_MAX, line, err);

    if (got < 0 || (got == 0 && !end_file(r, err)))
        return -1;
    if (got == 0)
        return 0;
    *crc = crc32c(0, line->data, line->len);
    if (!record_head_parse(*line, head, err) || !check_record(r, head, *crc, err)) {
        refuse(r, err);
        return -1;
    }
    return 1;
}

void archive_reader_pass(struct archive_reader *r)
{
    r->heads = r->header.heads;
    r->passed = true;
    zstd_reader_free(KEEP(r->file));
}

const struct archive_header *archive_reader_header(const struct archive_reader *r)
{
    return &r->header;
}

static bool open_next(struct archive_reader *r, struct err *err)
{
    struct archive_header h;
    struct span line;
    int got;

    free(r->path);
    r->path = archive_path(r->archive, r->writer, r->header.segment + 1);
    r->file = zstd_reader_open(r->path, err);
    if (!r->file)
        return false;
    got = zstd_reader_line(r->file, RECORD_BYTES_MAX, &line, err);
    if (got == 0)
        err_set(err, ERR_CORRUPT, "%s is empty", r->path);
    if (got != 1)
        return false;
    if (!archive_header_parse(line, &h, err) || !check_header(r, &h, err))
        return refuse(r, err);
    r->header = h;
    r->lines = r->calls = r->catalogue = r->refunds = r->funds = 0;
    return true;
}

static bool check_header(const struct archive_reader *r, const struct archive_header *h,
                         struct err *err)
{
    if (strcmp(h->writer, r->writer) != 0 || h->segment != r->header.segment + 1)
        return err_set(err, ERR_CORRUPT, "it is segment %llu of writer %s",
                       (unsigned long long)h->segment, h->writer);
    if (r->header.segment > 0 && strcmp(h->installation, r->header.installation) != 0)
        return err_set(err, ERR_CORRUPT, "it is of another installation than the file before");
    if (!r->passed && strcmp(h->previous, r->chain) != 0)
        return err_set(err, ERR_CORRUPT, "it does not name the SHA-256 of the file before");
    return true;
}

static bool end_file(struct archive_reader *r, struct err *err)
{
    if (r->lines != r->header.records)
        return err_set(err, ERR_CORRUPT, "%s states %llu records, but has %llu", r->path,
                       (unsigned long long)r->header.records, (unsigned long long)r->lines);
    if (r->calls != r->header.calls || r->catalogue != r->header.catalogue ||
        r->refunds != r->header.refunds || r->funds != r->header.funds ||
        !record_heads_equal(&r->heads, &r->header.heads))
        return err_set(err, ERR_CORRUPT, "%s does not hold what its first line states", r->path);
    zstd_reader_sha256(r->file, r->chain);
    r->passed = false;
    zstd_reader_free(KEEP(r->file));
    return true;
}

static bool check_record(struct archive_reader *r, const struct record_head *head, uint32_t crc,
                         struct err *err)
{
    if (!record_is_archived(head->kind))
        return err_set(err, ERR_CORRUPT, "a %s record is not for archives",
                       record_kind_name(head->kind));
    if (strcmp(head->writer, r->writer) != 0)
        return err_set(err, ERR_CORRUPT, "a record of writer %s", head->writer);
    r->lines++;
    r->calls += head->kind == RECORD_CALL;
    r->catalogue += head->kind == RECORD_CATALOGUE;
    r->refunds += head->kind == RECORD_REFUND;
    r->funds += record_is_funds(head->kind);
    return record_heads_advance(&r->heads, &head->place, crc, err);
}

/* Whatever is wrong with a line of the archive, the archive is damaged. */
static bool refuse(const struct archive_reader *r, struct err *err)
{
    if (err)
        err->code = ERR_CORRUPT;
    return err_context(err, "%s, line %llu", r->path,
                       (unsigned long long)zstd_reader_line_number(r->file));
}
