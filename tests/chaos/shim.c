/* shim.c - loaded before libc into the processes of a gateway under test: what they ask of the
 * journal's folder fails as often as a shared file of orders says, and their clock is ahead by what
 * it says. Where it is told nothing it does nothing. tests/chaos/shim.py writes the orders. Names
 * are those that a program with 64-bit file offsets is linked to. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NANOS_PER_SECOND INT64_C(1000000000)

/* Counts fall to zero as calls fail; all processes of the gateway share them. */
struct orders {
    int32_t syncs, writes, opens;
    int32_t error; /* an errno */
    int64_t ahead_ns;
};

static struct orders *orders; /* null: nothing was ordered, ever */
static const char *folder;

__attribute__((constructor)) static void read_orders(void)
{
    const char *path = getenv("CHAOS_ORDERS");
    void *map;
    int fd;

    folder = getenv("CHAOS_FOLDER");
    if (!path || !folder || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
        return;
    map = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        orders = map;
}

/* One of those that are to fail, and it is this one. */
static bool take(int32_t *count)
{
    int32_t n = __atomic_load_n(count, __ATOMIC_SEQ_CST);

    while (n > 0)
        if (__atomic_compare_exchange_n(count, &n, n - 1, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            errno = orders->error;
            return true;
        }
    return false;
}

static bool is_in_folder(const char *path)
{
    return strncmp(path, folder, strlen(folder)) == 0;
}

static bool is_ours(int fd)
{
    char link[64], path[PATH_MAX];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return false;
    path[n] = '\0';
    return is_in_folder(path);
}

static bool fails(int fd, int32_t *count)
{
    return *count > 0 && is_ours(fd) && take(count);
}

/* What libc itself has under this name. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fdatasync(int fd)
{
    return orders && fails(fd, &orders->syncs) ? -1 : NEXT(fdatasync)(fd);
}

int fsync(int fd)
{
    return orders && fails(fd, &orders->syncs) ? -1 : NEXT(fsync)(fd);
}

ssize_t write(int fd, const void *data, size_t len)
{
    static ssize_t (*next)(int, const void *, size_t);

    if (!next)
        next = NEXT(write);
    return orders && fails(fd, &orders->writes) ? -1 : next(fd, data, len);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
    return orders && fails(fd, &orders->writes) ? -1 : NEXT(pwrite64)(fd, data, len, at);
}

/* Only what is made: reading goes on. */
static bool open_fails(const char *path, int flags)
{
    return orders && orders->opens > 0 && (flags & O_CREAT) && is_in_folder(path) &&
           take(&orders->opens);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    mode_t mode;

    va_start(rest, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_fails(path, flags) ? -1 : NEXT(open64)(path, flags, mode);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*next)(clockid_t, struct timespec *);
    int64_t ahead, ns;

    if (!next)
        next = NEXT(clock_gettime);
    if (next(clock, out) != 0)
        return -1;
    ahead = orders && clock == CLOCK_REALTIME ? __atomic_load_n(&orders->ahead_ns, __ATOMIC_SEQ_CST)
                                              : 0;
    ns = out->tv_nsec + ahead % NANOS_PER_SECOND;
    out->tv_sec += (time_t)(ahead / NANOS_PER_SECOND);
    if (ns < 0) {
        ns += NANOS_PER_SECOND;
        out->tv_sec--;
    } else if (ns >= NANOS_PER_SECOND) {
        ns -= NANOS_PER_SECOND;
        out->tv_sec++;
    }
    out->tv_nsec = (long)ns;
    return 0;
}
