// What the event loop and the load generator's clock need of Linux and Swift's Glibc module leaves out: epoll(7), eventfd(2),
// accept4(2), a thread's name, timerfd(2); and one of the processor. Header only.
#ifndef ADTRACK_LINUX_H
#define ADTRACK_LINUX_H

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

// glibc hides these two without _GNU_SOURCE.
extern int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags);
extern int pthread_setname_np(pthread_t thread, const char *name);

// Has a cache line of 64 bytes brought to the core while other work goes on. Any address will do.
static inline void adtrack_prefetch(const void *place) { __builtin_prefetch(place); }

#endif
