/* file.h - files that must survive: whole reads, atomic durable writes, locks that die with their process. */
#ifndef TOLLGATE_BASE_FILE_H
#define TOLLGATE_BASE_FILE_H

#include <sys/types.h>

#include "lib/base/attr.h"
#include "lib/base/buf.h"

/* Appends the whole file; ERR_LIMIT when it is larger than the buffer's maximum allows. */
bool file_read(const char *path, struct buf *out, struct err *err) MUST_USE;
/* Writes beside, fsyncs, renames over `path`, fsyncs the directory. */
bool file_write_atomic(const char *path, mode_t mode, struct span bytes, struct err *err) MUST_USE;
/* The same, but links the new name and fails with ERR_EXISTS if it is taken: never replaces. */
bool file_write_new(const char *path, mode_t mode, struct span bytes, struct err *err) MUST_USE;
bool file_exists(const char *path);
/* Opens a file of secrets for reading: ERR_DENIED, saying which chmod helps, unless its mode is 0600 or stricter.
 * The caller closes the descriptor; -1 on failure. */
int file_open_private(const char *path, struct err *err) MUST_USE;
/* Appends what is left to read from `fd`; `what` names it in the sentence. */
bool fd_read_all(int fd, struct buf *out, const char *what, struct err *err) MUST_USE;
/* write(2) until all is written; short writes and EINTR are continued. */
bool fd_write_all(int fd, const void *bytes, size_t n, struct err *err) MUST_USE;

bool dir_ensure(const char *path, mode_t mode, struct err *err) MUST_USE; /* with its parents */
bool dir_sync(const char *path, struct err *err) MUST_USE;
/* Names in `path` that do not begin with '.', sorted bytewise; free with dir_names_free(). */
bool dir_list(const char *path, char ***names, size_t *count, struct err *err) MUST_USE;
/* Those that begin with '.', too, but "." and "..". */
bool dir_list_all(const char *path, char ***names, size_t *count, struct err *err) MUST_USE;
void dir_names_free(char **names, size_t count);

/* An exclusive lock on `path` (created 0600), which holds the owner's pid as text. ERR_EXISTS, naming the pid, when
 * another has it. The lock ends with the process or with file_lock_free(). Not inherited over exec; a forked child
 * shares it until it frees its copy or ends. It is an open file description lock (fcntl F_OFD_SETLK): flock(2) could
 * only be asked for its owner by trying to take it, which would turn away a rightful taker at that moment. */
struct file_lock;
struct file_lock *file_lock_take(const char *path, struct err *err) MUST_USE;
void file_lock_free(struct file_lock *lock);
DEFINE_AUTO(file_lock)
/* The pid that holds the lock now, or 0 when nobody does. */
pid_t file_lock_owner(const char *path);

/* dir + "/" + name; caller frees. */
char *path_join(const char *dir, const char *name) MUST_USE;

#endif
