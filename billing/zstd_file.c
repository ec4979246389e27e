/* zstd_file.c - one zstd frame a file, with its own checksum, written with one level for ever: the same lines give the
 * same file wherever the same libzstd runs. */
#include "billing/zstd_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

#define LEVEL       3
#define PIECE_BYTES (128 * 1024)
#define FILE_MODE   0644

struct zstd_writer {
    int fd;
    char *path;
    ZSTD_CCtx *zstd;
    struct sha256_stream *sha256;
    char out[PIECE_BYTES];
};

struct zstd_reader {
    int fd;
    char *path;
    ZSTD_DCtx *zstd;
    struct sha256_stream *sha256;
    char digest[SHA256_HEX];
    ZSTD_inBuffer in;
    bool is_whole; /* a frame has ended and none has begun since */
    uint64_t line_number;
    struct buf text; /* uncompressed, not yet returned */
    size_t taken;    /* of `text`, by the line returned last */
    char piece[PIECE_BYTES];
};

static bool push(struct zstd_writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective how, struct err *err);
static bool zstd_failed(size_t code, const char *path, struct err *err);
static int read_more(struct zstd_reader *r, struct err *err);
static int refill(struct zstd_reader *r, struct err *err);
static int end_of_text(struct zstd_reader *r, struct err *err);
static int corrupt(const struct zstd_reader *r, const char *what, struct err *err);

struct zstd_writer *zstd_writer_open(const char *path, struct err *err)
{
    AUTO(zstd_writer) w = xcalloc(1, sizeof *w);

    w->path = xstrdup(path);
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (w->fd < 0) {
        err_sys(err, "cannot create %s", path);
        return NULL;
    }
    w->zstd = ZSTD_createCCtx();
    w->sha256 = sha256_stream_new();
    if (!w->zstd) {
        err_set(err, ERR_MEMORY, "no memory to compress %s", path);
        return NULL;
    }
    if (zstd_failed(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL), path, err) ||
        zstd_failed(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1), path, err))
        return NULL;
    return KEEP(w);
}

bool zstd_writer_add(struct zstd_writer *w, struct span bytes, struct err *err)
{
    ZSTD_inBuffer in = {bytes.data, bytes.len, 0};

    sha256_stream_add(w->sha256, bytes.data, bytes.len);
    return push(w, &in, ZSTD_e_continue, err);
}

bool zstd_writer_finish(struct zstd_writer *w, char sha256[SHA256_HEX], struct err *err)
{
    ZSTD_inBuffer nothing = {NULL, 0, 0};

    if (!push(w, &nothing, ZSTD_e_end, err))
        return false;
    if (fsync(w->fd) != 0)
        return err_sys(err, "cannot sync %s", w->path);
    sha256_stream_hex(w->sha256, sha256);
    return true;
}

static bool push(struct zstd_writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective how, struct err *err)
{
    size_t left;

    do {
        ZSTD_outBuffer out = {w->out, sizeof w->out, 0};

        left = ZSTD_compressStream2(w->zstd, &out, in, how);
        if (zstd_failed(left, w->path, err))
            return false;
        if (!fd_write_all(w->fd, w->out, out.pos, err))
            return err_context(err, "%s", w->path);
    } while (how == ZSTD_e_end ? left > 0 : in->pos < in->size);
    return true;
}

static bool zstd_failed(size_t code, const char *path, struct err *err)
{
    if (!ZSTD_isError(code))
        return false;
    err_set(err, ERR_IO, "cannot compress %s: %s", path, ZSTD_getErrorName(code));
    return true;
}

void zstd_writer_free(struct zstd_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    ZSTD_freeCCtx(w->zstd);
    sha256_stream_free(w->sha256);
    free(w->path);
    free(w);
}

struct zstd_reader *zstd_reader_open(const char *path, struct err *err)
{
    AUTO(zstd_reader) r = xcalloc(1, sizeof *r);

    r->path = xstrdup(path);
    r->in.src = r->piece;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        err_sys(err, "cannot open %s", path);
        return NULL;
    }
    r->zstd = ZSTD_createDCtx();
    r->sha256 = sha256_stream_new();
    if (!r->zstd) {
        err_set(err, ERR_MEMORY, "no memory to read %s", path);
        return NULL;
    }
    return KEEP(r);
}

/* A line is complete before more is read, so `text` never holds more than one line and one piece. */
int zstd_reader_line(struct zstd_reader *r, size_t line_max, struct span *line, struct err *err)
{
    size_t searched = 0;

    if (r->text.max == 0)
        buf_init(&r->text, line_max + 1 + PIECE_BYTES);
    buf_consume(&r->text, r->taken);
    r->taken = 0;
    for (;;) {
        const char *end = r->text.len > searched
                              ? memchr(r->text.data + searched, '\n', r->text.len - searched)
                              : NULL;
        int got;

        searched = r->text.len;
        if ((end ? (size_t)(end - r->text.data) : r->text.len) > line_max)
            return corrupt(r, "is longer than any", err);
        if (end) {
            *line = (struct span){r->text.data, (size_t)(end - r->text.data)};
            r->taken = line->len + 1;
            r->line_number++;
            return 1;
        }
        got = read_more(r, err);
        if (got <= 0)
            return got == 0 ? end_of_text(r, err) : got;
    }
}

/* 1: `text` grew; 0: the file has ended. What the decoder still holds comes out before more is read. */
static int read_more(struct zstd_reader *r, struct err *err)
{
    char *room = buf_room(&r->text, PIECE_BYTES / 2);
    ZSTD_outBuffer out = {room, PIECE_BYTES / 2, 0};

    if (!room)
        return corrupt(r, "does not fit in memory", err);
    while (out.pos == 0) {
        size_t before = r->in.pos, code = ZSTD_decompressStream(r->zstd, &out, &r->in);
        int got;

        if (ZSTD_isError(code))
            return corrupt(r, ZSTD_getErrorName(code), err);
        if (out.pos > 0 || r->in.pos > before)
            r->is_whole = code == 0;
        else if ((got = refill(r, err)) <= 0)
            return got;
    }
    sha256_stream_add(r->sha256, room, out.pos);
    buf_added(&r->text, out.pos);
    return 1;
}

static int refill(struct zstd_reader *r, struct err *err)
{
    ssize_t got;

    do
        got = read(r->fd, r->piece, sizeof r->piece);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        err_sys(err, "cannot read %s", r->path);
        return -1;
    }
    r->in.size = (size_t)got;
    r->in.pos = 0;
    return got > 0;
}

static int end_of_text(struct zstd_reader *r, struct err *err)
{
    if (!r->is_whole)
        return corrupt(r, "is cut short", err);
    if (r->text.len > 0)
        return corrupt(r, "has no end", err);
    if (r->digest[0] == '\0')
        sha256_stream_hex(r->sha256, r->digest);
    return 0;
}

static int corrupt(const struct zstd_reader *r, const char *what, struct err *err)
{
    err_set(err, ERR_CORRUPT, "%s, line %llu: %s", r->path, (unsigned long long)r->line_number + 1,
            what);
    return -1;
}

uint64_t zstd_reader_line_number(const struct zstd_reader *r)
{
    return r->line_number;
}

void zstd_reader_sha256(const struct zstd_reader *r, char sha256[SHA256_HEX])
{
    assert(r->digest[0] != '\0');
    memcpy(sha256, r->digest, SHA256_HEX);
}

void zstd_reader_free(struct zstd_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    ZSTD_freeDCtx(r->zstd);
    sha256_stream_free(r->sha256);
    buf_clear(&r->text);
    free(r->path);
    free(r);
}
