/* SPDX-License-Identifier: Apache-2.0 */
/* All bytes or none that count, from and to files and sockets, without messages; also for programs that do not link the library. */
#ifndef NORNI_FD_IO_H
#define NORNI_FD_IO_H
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

static inline bool norni_read_all(int fd, void *data, size_t n) {
    for (char *at = data; n;) {
        ssize_t got = read(fd, at, n);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
    return true;
}

/* is_socket: what the other side has closed is an error, not a signal. */
static inline bool norni_put_all(int fd, bool is_socket, const void *data, size_t n) {
    for (const char *at = data; n;) {
        ssize_t put = is_socket ? send(fd, at, n, MSG_NOSIGNAL) : write(fd, at, n);
        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0) {
            at += put;
            n -= (size_t)put;
        }
    }
    return true;
}

static inline bool norni_write_all(int fd, const void *data, size_t n) {
    return norni_put_all(fd, false, data, n);
}

#endif
