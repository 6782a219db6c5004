/*
 * Engine.IO's HTTP long-polling over one keep-alive connection: a POST while there are packets to
 * send, else a GET that waits for packets.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char SEPARATOR = '\x1e';

void polling_queue(struct client *client, const void *packet, size_t size)
{
    if (client->packets.end > client->packets.start)
        buffer_append(&client->packets, &SEPARATOR, 1);
    buffer_append(&client->packets, packet, size);
}

/* Send the next request, unless one is under way. */
void polling_next(struct client *client)
{
    char request[2048], session[128] = "";
    struct buffer *packets = &client->packets;
    size_t body = packets->end - packets->start;
    if (client->requested || client->connection.fd < 0)
        return;
    if (client->sid[0])
        snprintf(session, sizeof session, "&sid=%s", client->sid);
    int size = snprintf(request, sizeof request,
                        "%s %s?EIO=4&transport=polling%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                        "%s%s%s",
                        body ? "POST" : "GET", options.path, session, client->port,
                        options.cookie ? "Cookie: " : "", options.cookie ? options.cookie : "",
                        options.cookie ? "\r\n" : "");
    if (size >= (int)sizeof request)
        fail("the request is too long");
    buffer_append(&client->connection.out, request, (size_t)size);
    if (body) {
        size = snprintf(request, sizeof request,
                        "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n",
                        body);
        buffer_append(&client->connection.out, request, (size_t)size);
        buffer_append(&client->connection.out, packets->data + packets->start, body);
        packets->start = packets->end = 0;
    } else {
        buffer_append(&client->connection.out, "\r\n", 2);
    }
    client->requested = true;
    client->posted = body > 0;
    connection_flush(&client->connection);
}

static const char *find_header(const char *head, const char *end, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = head; line < end; line++) {
        line = memchr(line, '\n', (size_t)(end - line));
        if (line == NULL)
            return NULL;
        if ((size_t)(end - line) > size + 1 && strncasecmp(line + 1, name, size) == 0)
            return line + 1 + size;
    }
    return NULL;
}

/* Tell whether a whole chunked body is there. */
static bool chunks_complete(const char *body, size_t have)
{
    size_t from = 0;
    for (;;) {
        const char *line = memmem(body + from, have - from, "\r\n", 2);
        if (line == NULL)
            return false;
        size_t size = strtoul(body + from, NULL, 16);
        from = (size_t)(line + 2 - body) + size + 2;
        if (from > have)
            return false;
        if (size == 0)
            return true;
    }
}

/* Join a complete chunked body in place; return its size, and how many bytes it took. */
static size_t join_chunks(char *body, size_t *used)
{
    size_t from = 0, to = 0;
    for (;;) {
        size_t size = strtoul(body + from, NULL, 16);
        from = (size_t)(strchr(body + from, '\n') + 1 - body);
        memmove(body + to, body + from, size);
        to += size;
        from += size + 2;
        if (size == 0) {
            *used = from;
            return to;
        }
    }
}

static void take_payload(struct client *client, const char *body, size_t size)
{
    const char *end = body + size;
    while (body < end && client->connection.fd >= 0) {
        const char *next = memchr(body, SEPARATOR, (size_t)(end - body));
        if (next == NULL)
            next = end;
        client_text(client, body, (size_t)(next - body));
        body = next + 1;
    }
}

/* Take the response if it is whole, and send the next request. */
void polling_read(struct client *client)
{
    struct buffer *in = &client->connection.in;
    const char *end = header_end(in);
    if (end == NULL)
        return;
    char *head = in->data + in->start, *body = in->data + (end + 4 - in->data);
    size_t have = (size_t)(in->data + in->end - body), used;
    const char *length = find_header(head, end, "content-length:");
    size_t size;
    if (length != NULL)
        size = used = strtoul(length, NULL, 10);
    else if (chunks_complete(body, have))
        size = join_chunks(body, &used);
    else
        return;
    if (have < used)
        return;
    int status = response_status(in);
    in->start = (size_t)(body - in->data) + used;
    client->requested = false;
    if (status != 200) {
        note_failure("a poll was answered with status %d: %.*s", status, (int)size, body);
        client_lost(&client->connection);
        return;
    }
    if (!client->posted)
        take_payload(client, body, size);
    if (client->state != CLOSING)
        polling_next(client);
}
