/* access_log.c - two buffers: the loop fills one while the thread writes the other. A disk that hangs
 * holds up the thread alone. */
#include "gateway/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

#define WAITING_BYTES_MAX (4 << 20)
#define END_MS            1000
#define END_PAUSE_MS      5

struct access_log {
    int fd;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct buf waiting, writing; /* the thread's: writing */
    bool is_ending, has_ended;
};

static bool start_thread(struct access_log *l, struct err *err);
static void *run(void *arg);
static void write_out(struct access_log *l);

struct access_log *access_log_open(const char *path, struct err *err)
{
    struct access_log *l = xcalloc(1, sizeof *l);

    buf_init(&l->waiting, WAITING_BYTES_MAX);
    buf_init(&l->writing, WAITING_BYTES_MAX);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->fd = strcmp(path, "stderr") == 0
                ? dup(STDERR_FILENO)
                : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (l->fd >= 0 && start_thread(l, err))
        return l;
    if (l->fd < 0)
        err_sys(err, "access_log %s cannot be opened", path);
    else
        close(l->fd);
    free(l);
    return NULL;
}

/* It takes no signal: those are the loop's. */
static bool start_thread(struct access_log *l, struct err *err)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0 || err_set(err, ERR_IO, "a thread for the access log can't be started: %s",
                                 strerror(error));
}

static void *run(void *arg)
{
    struct access_log *l = arg;

    pthread_mutex_lock(&l->mutex);
    while (!l->is_ending || l->waiting.len > 0) {
        struct buf empty = l->writing;

        if (l->waiting.len == 0) {
            pthread_cond_wait(&l->changed, &l->mutex);
            continue;
        }
        l->writing = l->waiting;
        l->waiting = empty;
        pthread_mutex_unlock(&l->mutex);
        write_out(l);
        pthread_mutex_lock(&l->mutex);
    }
    l->has_ended = true;
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

static void write_out(struct access_log *l)
{
    struct err err;

    if (!fd_write_all(l->fd, l->writing.data, l->writing.len, &err))
        log_warn("access_log_failed", "%zu bytes of the access log are lost: %s", l->writing.len,
                 err.text);
    buf_truncate(&l->writing, 0);
}

bool access_log_add(struct access_log *l, struct span line)
{
    bool has_room;

    pthread_mutex_lock(&l->mutex);
    has_room = line.len <= WAITING_BYTES_MAX - l->waiting.len && buf_add_span(&l->waiting, line);
    if (has_room && l->waiting.len == line.len)
        pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    return has_room;
}

/* A thread that hangs in write(2) can't be waited for: it is left, with what it uses, to the
 * process's end. */
void access_log_free(struct access_log *l)
{
    const struct timespec pause = {.tv_nsec = END_PAUSE_MS * NANOS_PER_MS};
    bool has_ended = false;

    if (!l)
        return;
    for (int i = 0; !has_ended && i < END_MS / END_PAUSE_MS; i++) {
        if (i > 0)
            nanosleep(&pause, NULL);
        pthread_mutex_lock(&l->mutex);
        l->is_ending = true;
        has_ended = l->has_ended;
        pthread_cond_signal(&l->changed);
        pthread_mutex_unlock(&l->mutex);
    }
    if (!has_ended)
        return;
    pthread_join(l->thread, NULL);
    close(l->fd);
    buf_clear(&l->waiting);
    buf_clear(&l->writing);
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->changed);
    free(l);
}
