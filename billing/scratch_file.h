/* scratch_file.h - a file without a name, for what is too much for memory: appended to, read by
 * position, gone when its owner is. */
#ifndef TOLLGATE_BILLING_SCRATCH_FILE_H
#define TOLLGATE_BILLING_SCRATCH_FILE_H

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct scratch_file;
/* Made in `dir`; null: in $TMPDIR, else /tmp. */
struct scratch_file *scratch_file_new(const char *dir, struct err *err) MUST_USE;
void scratch_file_free(struct scratch_file *f);
DEFINE_AUTO(scratch_file)
/* Goes through a buffer of 1 MiB. */
bool scratch_file_add(struct scratch_file *f, struct span bytes, struct err *err) MUST_USE;
uint64_t scratch_file_size(const struct scratch_file *f);
/* Before what was added last is read. */
bool scratch_file_flush(struct scratch_file *f, struct err *err) MUST_USE;
bool scratch_file_read(const struct scratch_file *f, uint64_t offset, void *bytes, size_t n,
                       struct err *err) MUST_USE;

#endif
