/* redis_server.c - see redis_server.h. */
#include "tests/net/redis_server.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/net/addr.h"

#define ARGS_MAX 32

static void await_server(const char *path)
{
    struct addr addr = {.u.local = {.sun_family = AF_UNIX}};
    int fd, failed;

    addr.len = sizeof addr.u.local;
    snprintf(addr.u.local.sun_path, sizeof addr.u.local.sun_path, "%s", path);
    do {
        usleep(2000);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        failed = connect(fd, &addr.u.any, addr.len);
        close(fd);
    } while (failed);
}

pid_t redis_server_start(const char *dir, const char *const *options)
{
    char path[96];
    const char *argv[ARGS_MAX] = {
        "redis-server", "--port", "0",         "--unixsocket", path, "--dir", dir,
        "--save",       "",       "--logfile", "log"};
    size_t n = 11;
    pid_t pid;

    snprintf(path, sizeof path, "%s/redis.sock", dir);
    while (*options) {
        ck_assert_uint_lt(n, ARGS_MAX - 1);
        argv[n++] = *options++;
    }
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[0], (char *const *)(void *)argv);
        _exit(127);
    }
    await_server(path);
    return pid;
}

void redis_server_kill(pid_t *pid)
{
    if (*pid <= 0)
        return;
    kill(*pid, SIGKILL);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}
