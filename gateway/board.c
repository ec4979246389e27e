/* board.c - one anonymous shared mapping, of which only the pages that are used take memory. */
#include "gateway/board.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct board {
    size_t count, bytes;
    struct seat seats[];
};

static bool is_alive(int pid);
static bool take(struct seat *seat);

struct board *board_new(size_t seats, struct err *err)
{
    size_t bytes = sizeof(struct board) + seats * sizeof(struct seat);
    struct board *b = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (b == MAP_FAILED) {
        err_sys(err, "cannot map %zu bytes for metrics", bytes);
        return NULL;
    }
    b->count = seats;
    b->bytes = bytes;
    return b;
}

void board_free(struct board *b)
{
    if (b)
        munmap(b, b->bytes);
}

struct seat *board_sit(struct board *b)
{
    struct seat *seat;
    size_t i = 0;

    while (i < b->count - 1 && !take(&b->seats[i]))
        i++;
    seat = &b->seats[i];
    metric_set(&seat->is_worker, 0);
    metric_set(&seat->is_ready, 0);
    metric_set(&seat->open_calls, 0);
    metric_set(&seat->connections, 0);
    metric_set(&seat->unshipped, 0);
    metric_set(&seat->webhooks_pending, 0);
    metric_set(&seat->open_holds, 0);
    metric_set(&seat->unsealed_since, 0);
    for (size_t k = 0; k < BOARD_BACKENDS; k++)
        metric_set(&seat->breakers[k].is_named, 0);
    return seat;
}

static bool take(struct seat *seat)
{
    int before = atomic_load(&seat->pid);

    return !is_alive(before) && atomic_compare_exchange_strong(&seat->pid, &before, getpid());
}

static bool is_alive(int pid)
{
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

struct board_model *board_model(struct seat *seat, const char *model, const char *currency)
{
    for (size_t i = 0; i < BOARD_MODELS; i++) {
        struct board_model *m = &seat->models[i];

        if (!metric_get(&m->is_named)) {
            memcpy(m->name, model, strnlen(model, sizeof m->name - 1));
            memcpy(m->currency, currency, strnlen(currency, sizeof m->currency - 1));
            atomic_store_explicit(&m->is_named.n, 1, memory_order_release);
            return m;
        }
        if (strcmp(m->name, model) == 0 && strcmp(m->currency, currency) == 0)
            return m;
    }
    return &seat->others;
}

size_t board_seats(const struct board *b)
{
    return b->count;
}

const struct seat *board_seat(const struct board *b, size_t i)
{
    return &b->seats[i];
}

bool seat_is_live(const struct seat *seat)
{
    return is_alive(atomic_load(&seat->pid));
}

void board_show_breaker(struct seat *seat, size_t n, const char *name, unsigned state)
{
    struct board_breaker *b;

    if (n >= BOARD_BACKENDS)
        return;
    b = &seat->breakers[n];
    metric_set(&b->state, state);
    if (metric_get(&b->is_named))
        return;
    snprintf(b->name, sizeof b->name, "%s", name);
    metric_set(&b->is_named, 1);
}

int64_t board_unsealed_since(const struct board *b)
{
    int64_t oldest = 0;

    for (size_t i = 0; i < b->count; i++) {
        int64_t since = (int64_t)metric_get(&b->seats[i].unsealed_since);

        if (seat_is_live(&b->seats[i]) && since && (!oldest || since < oldest))
            oldest = since;
    }
    return oldest;
}
