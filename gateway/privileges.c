/* privileges.c - directories are made while still root, because an ordinary user may not make them
 * in /var. */
#include "gateway/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"

static bool make_dir(const char *path, const struct passwd *owner, struct err *err);
static bool give_file(const char *dir, const char *name, const struct passwd *owner,
                      struct err *err);
static bool look_up(const char *user, const struct passwd **found, struct err *err);

bool privileges_make_dirs(const char *user, const char *state, const char *journal,
                          const char *archive, struct err *err)
{
    const struct passwd *owner;

    return look_up(user, &owner, err) && make_dir(state, owner, err) &&
           make_dir(journal, owner, err) && make_dir(archive, owner, err) &&
           give_file(state, "master.lock", owner, err);
}

static bool make_dir(const char *path, const struct passwd *owner, struct err *err)
{
    if (file_exists(path))
        return true;
    if (!dir_ensure(path, 0700, err))
        return false;
    return !owner || chown(path, owner->pw_uid, owner->pw_gid) == 0 ||
           err_sys(err, "cannot give %s to %s", path, owner->pw_name);
}

/* The lock is taken while root, but later starts may be the user's own. */
static bool give_file(const char *dir, const char *name, const struct passwd *owner,
                      struct err *err)
{
    AUTO_STRING path = path_join(dir, name);

    if (!owner || (!file_exists(path) && !file_write_new(path, 0600, SPAN(""), err)))
        return !owner;
    return lchown(path, owner->pw_uid, owner->pw_gid) == 0 ||
           err_sys(err, "cannot give %s to %s", path, owner->pw_name);
}

/* Null where there is nothing to give: no user is set, or this is not root. */
static bool look_up(const char *user, const struct passwd **found, struct err *err)
{
    *found = NULL;
    if (!user || geteuid() != 0)
        return true;
    *found = getpwnam(user);
    return *found || err_set(err, ERR_NOT_FOUND, "this machine has no user \"%s\"", user);
}

bool privileges_drop(const char *user, struct err *err)
{
    const struct passwd *p;

    if (!look_up(user, &p, err))
        return false;
    if (!p || p->pw_uid == 0)
        return true;
    if (initgroups(user, p->pw_gid) != 0 || setgid(p->pw_gid) != 0 || setuid(p->pw_uid) != 0)
        return err_sys(err, "cannot become user %s", user);
    return setuid(0) != 0 || err_set(err, ERR_DENIED, "could not give up root for good");
}

bool privileges_enter(const char *user, struct err *err)
{
    const struct passwd *p;

    if (!look_up(user, &p, err))
        return false;
    return !p ||
           (initgroups(user, p->pw_gid) == 0 && setegid(p->pw_gid) == 0 &&
            seteuid(p->pw_uid) == 0) ||
           err_sys(err, "cannot act as user %s", user);
}

void privileges_leave(void)
{
    if (getuid() == 0 && geteuid() != 0 &&
        (seteuid(0) != 0 || setegid(0) != 0 || initgroups("root", 0) != 0))
        abort();
}
