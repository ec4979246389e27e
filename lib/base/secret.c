/* secret.c - secrets stay in one fixed array each, so that wiping it wipes the only copy. */
#include "lib/base/secret.h"

#include <unistd.h>

#include "lib/base/file.h"

static bool read_from(int fd, struct secret *s, const char *path, struct err *err);

bool secret_set(struct secret *s, struct span bytes, struct err *err)
{
    if (bytes.len > SECRET_MAX)
        return err_set(err, ERR_LIMIT, "a secret has at most %d bytes", SECRET_MAX);
    secret_clear(s);
    if (bytes.len)
        memcpy(s->bytes, bytes.data, bytes.len);
    s->len = bytes.len;
    return true;
}

void secret_clear(struct secret *s)
{
    explicit_bzero(s, sizeof *s);
}

/* Bytes beyond `len` are zero, so all of the array is compared: the time tells nothing, not even lengths. */
bool secret_equal(const struct secret *a, const struct secret *b)
{
    const volatile unsigned char *x = a->bytes, *y = b->bytes;
    unsigned char difference = 0;

    for (size_t i = 0; i < SECRET_MAX; i++)
        difference |= x[i] ^ y[i];
    return (difference | (a->len ^ b->len)) == 0;
}

struct span secret_reveal(const struct secret *s)
{
    return (struct span){(const char *)s->bytes, s->len};
}

bool secret_read_file(struct secret *s, const char *path, struct err *err)
{
    int fd = file_open_private(path, err);
    bool ok;

    if (fd < 0)
        return false;
    ok = read_from(fd, s, path, err);
    close(fd);
    return ok;
}

/* Not through a buf: its memory would be given back unwiped when it grows. */
static bool read_from(int fd, struct secret *s, const char *path, struct err *err)
{
    char bytes[SECRET_MAX + 2];
    size_t n = 0;
    ssize_t got;
    bool ok;

    while ((got = read(fd, bytes + n, sizeof bytes - n)) > 0)
        n += (size_t)got;
    if (n > 0 && bytes[n - 1] == '\n')
        n--;
    if (got < 0)
        ok = err_sys(err, "cannot read %s", path);
    else if (n == 0)
        ok = err_set(err, ERR_INPUT, "%s is empty", path);
    else
        ok = secret_set(s, (struct span){bytes, n}, err) || err_context(err, "%s", path);
    explicit_bzero(bytes, sizeof bytes);
    return ok;
}
