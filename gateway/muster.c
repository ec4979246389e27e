/* muster.c - a byte a report, so that none can arrive in part. */
#include "gateway/muster.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

#define NUMBERS 256

struct muster {
    size_t missing;
    bool has_reported[NUMBERS];
    int fds[2];
    struct watch *watch;
    void (*on_all)(void *arg);
    void *arg;
};

static void on_reports(void *arg);

struct muster *muster_new(struct loop *loop, size_t count, void (*on_all)(void *arg), void *arg,
                          struct err *err)
{
    AUTO(muster) m = xcalloc(1, sizeof *m);

    m->fds[0] = m->fds[1] = -1;
    if (pipe2(m->fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        err_sys(err, "cannot make a pipe");
        return NULL;
    }
    m->missing = count;
    m->on_all = on_all;
    m->arg = arg;
    m->watch = watch_new(loop, m->fds[0], on_reports, NULL, m);
    watch_want(m->watch, true, false);
    return KEEP(m);
}

static void on_reports(void *arg)
{
    struct muster *m = arg;
    unsigned char numbers[NUMBERS];
    ssize_t n = read(m->fds[0], numbers, sizeof numbers);
    bool was_missing = m->missing > 0;

    for (ssize_t i = 0; i < n; i++) {
        if (m->has_reported[numbers[i]])
            continue;
        m->has_reported[numbers[i]] = true;
        m->missing--;
    }
    if (was_missing && m->missing == 0)
        m->on_all(m->arg);
}

void muster_free(struct muster *m)
{
    if (!m)
        return;
    watch_free(m->watch);
    for (size_t i = 0; i < ARRAY_LEN(m->fds); i++)
        if (m->fds[i] >= 0)
            close(m->fds[i]);
    free(m);
}

int muster_join(struct muster *m)
{
    close(m->fds[0]);
    m->fds[0] = -1;
    return m->fds[1];
}

void muster_report(int fd, unsigned number)
{
    unsigned char byte = (unsigned char)number;

    if (write(fd, &byte, 1) != 1)
        log_warn("muster_failed", "the master could not be told that this worker is ready");
}
