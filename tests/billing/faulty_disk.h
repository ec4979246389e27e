/* faulty_disk.h - a disk that fails at the n-th operation of a process: with an error, by the process dying (half of a write
 * done), or by losing power, when only what was synced is sure to stand and of the rest any part may. A sync that failed leaves what
 * it should have written as if it were clean, as Linux does: no later sync writes it unless it is written again.
 *
 * Operations are the calls that change a disk: link with -Wl,--wrap of each of write, pwrite, fdatasync, fsync, rename, link,
 * ftruncate, posix_fallocate; and of malloc, calloc, realloc, reallocarray for memory. Nothing is really synced: tests are fast. */
#ifndef TOLLGATE_TESTS_FAULTY_DISK_H
#define TOLLGATE_TESTS_FAULTY_DISK_H

#include "lib/base/attr.h"

enum fault {
    FAULT_NONE,
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_DIES,
    FAULT_POWER,
    FAULT_MEMORY, /* counts allocations instead */
};

#define DISK_EXIT 99 /* the exit status of a process that died here */

/* From now on the n-th operation fails as said. `root` is the directory whose files are followed; on FAULT_POWER
 * `after` (which must not exist) gets what a later start would find, chosen by `seed`. */
void disk_arm(enum fault fault, unsigned n, const char *root, const char *after, unsigned seed);
/* The n-th operation fails with EIO besides. */
void disk_also_fail(unsigned n);
/* Power is lost now, under FAULT_POWER: does not return. */
void disk_lose_power(void) NORETURN;
/* Operations (or allocations) since then. */
unsigned disk_count(void);
/* write(2) that never fails on purpose. */
void disk_report(int fd, const void *bytes, size_t n);

#endif
