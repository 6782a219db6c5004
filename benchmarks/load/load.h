/*
 * The load generator: what its parts share.
 *
 * options <- connection <- websocket, polling <- client <- workloads <- main. Everything runs in
 * one thread, around one epoll loop. Only loopback addresses are ever connected to.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_PORTS 4
#define MAX_PIDS 8
#define MAX_CLIENTS 20000

/* Options (options.c) */

enum dialect { SOCKETIO, PLAIN };
enum transport { WEBSOCKET, POLLING };

struct options {
    const char *workload;    /* broadcast, echo, connects, idle or listen */
    enum dialect dialect;    /* Socket.IO packets, or JSON objects without it */
    enum transport transport;
    const char *path;        /* of the request, without the query */
    const char *cookie;      /* sent with each handshake; NULL for none */
    const char *event;       /* the event that the echo workload sends */
    bool structured;         /* echo an object rather than a text */
    int ports[MAX_PORTS], port_count;
    int pids[MAX_PIDS], pid_count; /* the server's processes, whose CPU and memory are read */
    int clients, rooms, size, in_flight;
    int deaf;                /* further members of the first room, who never read */
    bool binary;
    double warm_up, seconds;
};

extern struct options options;
void options_parse(int count, char **arguments);

/* Time, CPU, memory and percentiles (stats.c). Times are microseconds, sizes bytes. */

struct samples {
    uint32_t *values;
    size_t count, capacity;
};

struct totals {
    uint64_t done, lost, duplicate, wrong, failed, closed;
};

extern struct totals totals;
uint64_t now_us(void);
uint64_t cpu_us(int pid);
uint64_t waited_us(int pid);
uint64_t resident_bytes(int pid);
void memory_mark(void);  /* measure the server's growth from now on; the first call counts */
void memory_watch(void); /* look at it, from time to time, for its highest */
uint64_t memory_growth(void);
uint64_t memory_now(void);
void samples_add(struct samples *samples, uint64_t value);
uint32_t samples_percentile(struct samples *samples, double percent);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void note_failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One TCP connection with its buffers (connection.c) */

struct buffer {
    char *data;
    size_t start, end, capacity;
};

struct connection {
    int fd;
    bool connecting, waits_to_write;
    bool deaf; /* set before it is opened: the system keeps little of what is not read */
    struct buffer in, out;
};

void loop_open(void);
/* Handle what happens until the time is over, or `done` (NULL for never) says so. */
bool loop_run(uint64_t until, bool (*done)(void));

void buffer_append(struct buffer *buffer, const void *data, size_t size);
void connection_open(struct connection *connection, int port, unsigned source);
void connection_flush(struct connection *connection);
void connection_close(struct connection *connection);
/* Read nothing from now on. */
void connection_ignore(struct connection *connection);

/* What the loop calls (client.c) */
void client_writable(struct connection *connection);
void client_readable(struct connection *connection);
void client_lost(struct connection *connection);

/* Clients (client.c, with websocket.c and polling.c for their transports) */

enum state { IDLE, CONNECTING, HANDSHAKE, OPENING, READY, CLOSING };

struct client {
    struct connection connection; /* first, so that one leads to the other */
    enum state state;
    int number, port;
    /* polling */
    char sid[64];
    struct buffer packets; /* to be sent with the next POST */
    bool requested, posted;
    /* workloads */
    int room;
    uint32_t received, sent;
    bool joined, attachment_due;
    uint64_t sent_at[64];
};

/* What a workload does when something happens to a client. */
struct handlers {
    void (*ready)(struct client *client);
    void (*message)(struct client *client, const char *text, size_t size);
    void (*attachment)(struct client *client, const char *data, size_t size);
    void (*closed)(struct client *client);
};

extern struct handlers handlers;
void client_start(struct client *client, int port);
void client_finish(struct client *client);
/* Send an event with these JSON arguments; `id` asks for an acknowledgement, -1 for none. */
void client_emit(struct client *client, const char *event, int64_t id, const char *arguments);
void client_emit_binary(struct client *client, const char *event, const char *arguments,
                        const void *data, size_t size);
/* Tell whether a message is an acknowledgement, and of what. */
bool client_acknowledged(const char *text, size_t size, int64_t *id);
void client_packet(struct client *client, const char *text, size_t size);
void client_text(struct client *client, const char *text, size_t size);

enum opcode { OP_CONTINUATION = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9,
              OP_PONG = 10 };
void websocket_request(struct client *client);
void websocket_send(struct client *client, enum opcode opcode, const void *data, size_t size);
void websocket_read(struct client *client);

void polling_next(struct client *client);
void polling_queue(struct client *client, const void *packet, size_t size);
void polling_read(struct client *client);

/* Return a NUL-terminated copy of a response's header, or NULL (websocket.c). */
const char *header_end(const struct buffer *in);
int response_status(const struct buffer *in);

/* Payloads that say which message they are (payload.c) */

/* "#00000012#" and filler, `options.size` bytes in all; the text needs no escape in JSON. */
#define MARK_SIZE 10
void payload_open(void);
char *payload_text(uint32_t number);
char *payload_bytes(uint32_t number);
bool payload_check(const char *data, size_t size, bool binary, uint32_t *number);
const char *payload_find(const char *text, size_t size);

/* Workloads: each connects what it needs, measures, and prints its result as JSON. */

void connect_all(struct client *clients, int count, void (*ready)(struct client *));
struct window {
    uint64_t start, end, cpu;
    double waited; /* the part of the time for which one of us waited for a core */
};
struct window measure(void (*begin)(void), void (*end)(void));
bool drain(bool (*done)(void));
/* Let `options.deaf` clients join the first room, and read nothing from then on (deaf.c). */
void deaf_enter(void);
bool deaf_message(struct client *client, const char *text, size_t size);
void print_result(const struct window *window, struct samples *latencies);

void run_broadcast(void);
void run_listen(void);
void run_echo(void);
void run_connects(void);
void run_idle(void);

#endif
