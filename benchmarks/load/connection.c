/* Non-blocking TCP connections to loopback, and the epoll loop that serves them. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { EVENTS = 256, READ_SIZE = 65536, SOURCES = 8 };

static int epoll = -1;

void loop_open(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        fail("epoll: %s", strerror(errno));
}

static void reserve(struct buffer *buffer, size_t size)
{
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
    if (buffer->capacity - buffer->end >= size)
        return;
    size_t used = buffer->end - buffer->start;
    if (buffer->start > 0) {
        memmove(buffer->data, buffer->data + buffer->start, used);
        buffer->start = 0;
        buffer->end = used;
    }
    if (buffer->capacity - used < size) {
        while (buffer->capacity - used < size)
            buffer->capacity = buffer->capacity ? buffer->capacity * 2 : 1024;
        buffer->data = realloc(buffer->data, buffer->capacity);
        if (buffer->data == NULL)
            fail("no memory");
    }
}

void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    reserve(buffer, size);
    memcpy(buffer->data + buffer->end, data, size);
    buffer->end += size;
}

/*
 * Start to connect. Clients take turns with eight source addresses, so that short connections do
 * not use up the ports of one.
 */
void connection_open(struct connection *connection, int port, unsigned source)
{
    int yes = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        fail("socket: %s", strerror(errno));
    if (connection->deaf) {
        int size = 4096;
        setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source % SOURCES);
    if (bind(connection->fd, (struct sockaddr *)&own, sizeof own) < 0)
        fail("bind: %s", strerror(errno));
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(connection->fd, (struct sockaddr *)&peer, sizeof peer) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    connection->connecting = connection->waits_to_write = true;
    connection->in.start = connection->in.end = 0;
    connection->out.start = connection->out.end = 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
}

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0)
        close(connection->fd);
    connection->fd = -1;
}

static void watch(struct connection *connection, bool write)
{
    if (connection->waits_to_write == write)
        return;
    connection->waits_to_write = write;
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0),
                                .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

void connection_ignore(struct connection *connection)
{
    if (connection->fd >= 0)
        epoll_ctl(epoll, EPOLL_CTL_DEL, connection->fd, NULL);
}

/* Send what waits, as far as the socket takes it. A broken socket is seen when it is read. */
void connection_flush(struct connection *connection)
{
    struct buffer *out = &connection->out;
    if (connection->fd < 0 || connection->connecting)
        return;
    while (out->start < out->end) {
        ssize_t count = send(connection->fd, out->data + out->start, out->end - out->start,
                             MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            break;
        out->start += (size_t)count;
    }
    watch(connection, out->start < out->end && errno == EAGAIN);
}

/* Return false where the peer is gone. */
static bool receive(struct connection *connection)
{
    struct buffer *in = &connection->in;
    reserve(in, READ_SIZE / 4);
    ssize_t count = recv(connection->fd, in->data + in->end, in->capacity - in->end, 0);
    if (count > 0) {
        in->end += (size_t)count;
        client_readable(connection);
        return true;
    }
    return count < 0 && (errno == EAGAIN || errno == EINTR);
}

static void handle(struct connection *connection, uint32_t events)
{
    if (connection->fd < 0)
        return; /* closed by an earlier event of this turn */
    if (connection->connecting && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            note_failure("connect: %s", strerror(error));
            client_lost(connection);
            return;
        }
        connection->connecting = false;
        watch(connection, false);
        client_writable(connection);
    } else if (events & EPOLLOUT) {
        connection_flush(connection);
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && connection->fd >= 0 && !receive(connection))
        client_lost(connection);
}

bool loop_run(uint64_t until, bool (*done)(void))
{
    static struct epoll_event events[EVENTS];
    for (;;) {
        if (done != NULL && done())
            return true;
        uint64_t now = now_us();
        if (now >= until)
            return false;
        uint64_t wait = (until - now + 999) / 1000;
        int count = epoll_wait(epoll, events, EVENTS, wait > 100 ? 100 : (int)wait);
        for (int index = 0; index < count; index++)
            handle(events[index].data.ptr, events[index].events);
    }
}
