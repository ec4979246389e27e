/* doctor.c - this machine: files, disks, limits. */
#include "gateway/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "billing/archive.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/net/tls.h"

#define AS_USER           "run it as root or as the server's user"
#define DAY_NANOS         (24 * 3600 * NANOS_PER_SECOND)
#define RENEW_DAYS        14
#define FREE_SEGMENTS     64
#define SYNCS             15
#define SYNC_MS_MAX       50
#define SPARE_DESCRIPTORS 256

static const char *const health_names[] = {"good", "unknown", "unsafe"};

void doctor_find(struct doctor *d, const char *about, enum health health, const char *remedy,
                 const char *format, ...)
{
    json_t *finding = json_object();
    char says[512];
    va_list args;

    va_start(args, format);
    vsnprintf(says, sizeof says, format, args);
    va_end(args);
    json_object_set_new(finding, "about", json_string_nocheck(about));
    json_object_set_new(finding, "health", json_string_nocheck(health_names[health]));
    json_object_set_new(finding, "says", json_string(says));
    if (health != HEALTH_GOOD && remedy)
        json_object_set_new(finding, "remedy", json_string_nocheck(remedy));
    json_array_append_new(d->findings, finding);
    d->unsafe += health == HEALTH_UNSAFE;
}

/* ------------------------------------------------------------------ files */

static void look_at_mode(struct doctor *d, const char *path, mode_t forbidden);
static void look_at_certificate(struct doctor *d, const char *about, const char *path);

void doctor_look_at_files(struct doctor *d)
{
    static const char *const secrets[] = {"pepper",        "pepper.previous", "pepper.next",
                                          "derivation.key", "signing.pem",     "operator.token",
                                          "finance.token"};
    const struct options *o = d->options;

    look_at_mode(d, o->state, 077);
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        AUTO_STRING path = path_join(o->state, secrets[i]);

        look_at_mode(d, path, 077);
    }
    look_at_mode(d, o->certificate_key, 077);
    if (o->redis_password_file)
        look_at_mode(d, o->redis_password_file, 077);
    for (size_t i = 0; i < o->backend_count; i++)
        if (o->backends[i].key_file)
            look_at_mode(d, o->backends[i].key_file, 077);
    look_at_certificate(d, "certificate", o->certificate);
    if (o->redis_certificate)
        look_at_certificate(d, "redis_certificate", o->redis_certificate);
}

/* Where there is no installation yet, its files are no finding. */
static void look_at_mode(struct doctor *d, const char *path, mode_t forbidden)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        if (errno != ENOENT)
            doctor_find(d, "files", HEALTH_UNKNOWN, AS_USER, "%s: %s", path, strerror(errno));
        return;
    }
    if (st.st_mode & forbidden)
        doctor_find(d, "files", HEALTH_UNSAFE,
                    "chmod go-rwx, and replace the secret if others were "
                    "on this machine",
                    "others may use %s (mode %04o)", path, (unsigned)st.st_mode & 07777);
    else
        doctor_find(d, "files", HEALTH_GOOD, NULL, "%s is for its owner alone", path);
}

/* By the machine's clock, as clients judge it. */
static void look_at_certificate(struct doctor *d, const char *about, const char *path)
{
    int64_t ends, now = clock_now() - clock_offset();
    char text[CLOCK_TEXT];
    struct err err;

    if (!tls_certificate_end(path, &ends, &err))
        doctor_find(d, about, HEALTH_UNSAFE, "renew it, then reload", "%s", err.text);
    else if (ends - now < RENEW_DAYS * DAY_NANOS)
        doctor_find(d, about, HEALTH_UNSAFE, "renew it, then reload", "%s %s at %s", path,
                    ends < now ? "ended" : "ends", clock_format(ends, text));
    else
        doctor_find(d, about, HEALTH_GOOD, NULL, "%s holds until %s", path,
                    clock_format(ends, text));
}

/* ------------------------------------------------------------------ the journal's disk */

static void look_at_filesystem(struct doctor *d, const char *path);
static void look_at_room(struct doctor *d, const char *path);
static void look_at_syncs(struct doctor *d, const char *dir);
static bool time_syncs(const char *path, int64_t times[SYNCS], struct err *err);
static int compare_times(const void *a, const void *b);

void doctor_look_at_journal(struct doctor *d)
{
    const char *dir = d->options->journal;

    if (access(dir, W_OK | X_OK) != 0) {
        doctor_find(d, "journal", errno == ENOENT ? HEALTH_GOOD : HEALTH_UNKNOWN, AS_USER, "%s: %s",
                    dir, strerror(errno));
        return;
    }
    look_at_filesystem(d, dir);
    look_at_room(d, dir);
    look_at_syncs(d, dir);
}

static void look_at_filesystem(struct doctor *d, const char *path)
{
    static const struct {
        long type;
        const char *name, *why;
    } bad[] = {
        {0x01021994, "tmpfs", "it is memory, and lost with the power"},
        {0x858458f6, "ramfs", "it is memory, and lost with the power"},
        {0x6969, "NFS", "locks and fdatasync are the network's"},
        {0xff534d42, "CIFS", "locks and fdatasync are the network's"},
        {0x794c7630, "overlayfs", "it goes with its container; mount a disk there"},
    };
    struct statfs fs;

    if (statfs(path, &fs) != 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if ((uint32_t)fs.f_type == (uint32_t)bad[i].type) {
            doctor_find(d, "journal", HEALTH_UNSAFE, "put the journal on a local disk",
                        "%s is on %s: %s", path, bad[i].name, bad[i].why);
            return;
        }
    doctor_find(d, "journal", HEALTH_GOOD, NULL, "%s is on a local file system", path);
}

static void look_at_room(struct doctor *d, const char *path)
{
    uint64_t wanted = FREE_SEGMENTS * (uint64_t)d->options->journal_segment, left;
    struct statvfs fs;

    if (statvfs(path, &fs) != 0)
        return;
    left = (uint64_t)fs.f_bavail * fs.f_frsize;
    doctor_find(d, "journal", left < wanted ? HEALTH_UNSAFE : HEALTH_GOOD,
                "make room: a full disk refuses new calls",
                "%s has %" PRIu64 " MiB free; %" PRIu64 " are wanted", path, left >> 20,
                wanted >> 20);
}

/* The end of every call waits for one. */
static void look_at_syncs(struct doctor *d, const char *dir)
{
    AUTO_STRING path = path_join(dir, ".doctor");
    int64_t times[SYNCS];
    struct err err;

    if (!time_syncs(path, times, &err)) {
        doctor_find(d, "journal", HEALTH_UNSAFE, "look at the disk", "%s", err.text);
        return;
    }
    qsort(times, SYNCS, sizeof times[0], compare_times);
    doctor_find(d, "journal",
                times[SYNCS / 2] > SYNC_MS_MAX * NANOS_PER_MS ? HEALTH_UNSAFE : HEALTH_GOOD,
                "every call's end waits for one: use a faster disk, or one that is less busy",
                "fdatasync takes %" PRId64 " us, the slowest of %d %" PRId64 " us",
                times[SYNCS / 2] / 1000, SYNCS, times[SYNCS - 1] / 1000);
}

static bool time_syncs(const char *path, int64_t times[SYNCS], struct err *err)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;

    for (int i = 0; ok && i < SYNCS; i++) {
        int64_t began = clock_monotonic();

        ok = write(fd, block, sizeof block) == (ssize_t)sizeof block && fdatasync(fd) == 0;
        times[i] = clock_monotonic() - began;
    }
    if (!ok)
        err_sys(err, "cannot write and sync %s", path);
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    return ok;
}

static int compare_times(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* ------------------------------------------------------------------ the archive */

static bool look_at_chain(struct doctor *d, const struct archive_writer *w);

void doctor_look_at_archive(struct doctor *d)
{
    const char *dir = d->options->archive;
    struct archive_writer *writers = NULL;
    size_t count = 0, good = 0;
    struct err err;

    if (access(dir, F_OK) != 0) {
        doctor_find(d, "archive", errno == ENOENT ? HEALTH_GOOD : HEALTH_UNKNOWN, AS_USER, "%s: %s",
                    dir, strerror(errno));
        return;
    }
    if (!archive_writers(dir, &writers, &count, &err)) {
        doctor_find(d, "archive", HEALTH_UNSAFE, "restore what is missing from its backup", "%s",
                    err.text);
        return;
    }
    for (size_t i = 0; i < count; i++)
        good += look_at_chain(d, &writers[i]);
    free(writers);
    if (good == count)
        doctor_find(d, "archive", HEALTH_GOOD, NULL, "%s: %zu writers, each hash-chained", dir,
                    count);
}

/* Every file is read and hashed. */
static bool look_at_chain(struct doctor *d, const struct archive_writer *w)
{
    struct err err = {.code = ERR_NONE};
    AUTO(archive_reader) r = archive_reader_open(d->options->archive, w->writer, &err);
    struct record_head head;
    struct span line;
    uint32_t crc;
    int got = r ? 1 : -1;

    while (got == 1)
        got = archive_reader_next(r, &head, &line, &crc, &err);
    if (got < 0)
        doctor_find(d, "archive", HEALTH_UNSAFE, "restore that file from the archive's backup",
                    "%s", err.text);
    return got == 0;
}

/* ------------------------------------------------------------------ limits */

static bool limit_of(pid_t pid, uint64_t *out);

void doctor_look_at_limits(struct doctor *d)
{
    AUTO_STRING lock = path_join(d->options->state, "master.lock");
    uint64_t wanted = (uint64_t)d->options->connections * 2 + SPARE_DESCRIPTORS, limit;
    pid_t master = file_lock_owner(lock);

    if (!limit_of(master > 0 ? master : getpid(), &limit)) {
        doctor_find(d, "limits", HEALTH_UNKNOWN, AS_USER,
                    "the limit of open files of process %ld can't be read", (long)master);
        return;
    }
    doctor_find(d, "limits", limit < wanted ? HEALTH_UNSAFE : HEALTH_GOOD,
                "raise it (LimitNOFILE= of the unit, ulimit -n), or lower `connections`",
                "%s may open %" PRIu64
                " files; `connections` and as many to backends need %" PRIu64,
                master > 0 ? "the server" : "a server started from here", limit, wanted);
}

static bool limit_of(pid_t pid, uint64_t *out)
{
    struct rlimit limit;

    if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) != 0)
        return false;
    *out = limit.rlim_cur;
    return true;
}
