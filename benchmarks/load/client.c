/* A Socket.IO client, or one that speaks JSON objects, on either transport. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct handlers handlers;

void client_start(struct client *client, int port)
{
    static unsigned source;
    client->state = CONNECTING;
    client->port = port;
    client->sid[0] = 0;
    client->requested = false;
    client->packets.start = client->packets.end = 0;
    connection_open(&client->connection, port, source++);
}

/* Close as a client does that leaves: the server is told, and closes the connection. */
void client_finish(struct client *client)
{
    static const unsigned char NORMAL[2] = {1000 >> 8, 1000 & 0xff};
    client->state = CLOSING;
    if (options.dialect == SOCKETIO)
        websocket_send(client, OP_TEXT, "41", 2);
    websocket_send(client, OP_CLOSE, NORMAL, sizeof NORMAL);
    connection_flush(&client->connection);
}

void client_writable(struct connection *connection)
{
    struct client *client = (struct client *)connection;
    client->state = HANDSHAKE;
    if (options.transport == POLLING && client->number >= 0) {
        polling_next(client);
        return;
    }
    websocket_request(client);
    connection_flush(connection);
}

void client_readable(struct connection *connection)
{
    struct client *client = (struct client *)connection;
    if (options.transport == POLLING && client->number >= 0)
        polling_read(client);
    else
        websocket_read(client);
    connection_flush(connection);
}

void client_lost(struct connection *connection)
{
    struct client *client = (struct client *)connection;
    if (client->state != CLOSING) {
        totals.closed++;
        note_failure("client %d was cut off in state %d", client->number, client->state);
    }
    connection_close(connection);
    client->state = IDLE;
    if (handlers.closed)
        handlers.closed(client);
}

/* Send one Engine.IO packet. */
static void send_packet(struct client *client, const void *text, size_t size)
{
    if (options.transport == POLLING && client->number >= 0) {
        polling_queue(client, text, size);
        polling_next(client);
    } else {
        websocket_send(client, OP_TEXT, text, size);
        connection_flush(&client->connection);
    }
}

static void become_ready(struct client *client)
{
    client->state = READY;
    handlers.ready(client);
}

static void open_session(struct client *client, const char *text, size_t size)
{
    static const char KEY[] = "\"sid\":\"";
    const char *sid = memmem(text, size, KEY, sizeof KEY - 1);
    if (sid == NULL)
        fail("an OPEN packet without a sid: %.*s", (int)size, text);
    sid += sizeof KEY - 1;
    size_t length = strcspn(sid, "\"");
    if (length >= sizeof client->sid)
        fail("a sid that is too long");
    memcpy(client->sid, sid, length);
    client->sid[length] = 0;
    client->state = OPENING;
    send_packet(client, "40", 2);
}

/* Take one Socket.IO packet (its text, without the Engine.IO type). */
void client_packet(struct client *client, const char *text, size_t size)
{
    switch (text[0]) {
    case '0':
        if (client->state == OPENING)
            become_ready(client);
        break;
    case '1':
    case '4':
        note_failure("refused or disconnected: %.*s", (int)size, text);
        break;
    default:
        if (client->state == READY && handlers.message)
            handlers.message(client, text, size);
    }
}

/* Take one text: an Engine.IO packet, or an object of the plain dialect. */
void client_text(struct client *client, const char *text, size_t size)
{
    if (size == 0)
        return;
    if (options.dialect == PLAIN) {
        if (client->state == OPENING)
            become_ready(client);
        else if (client->state == READY && handlers.message)
            handlers.message(client, text, size);
        return;
    }
    switch (text[0]) {
    case '0':
        open_session(client, text, size);
        break;
    case '2':
        send_packet(client, "3", 1);
        break;
    case '4':
        if (size > 1)
            client_packet(client, text + 1, size - 1);
        break;
    case '6':
        break;
    default:
        note_failure("an unexpected packet: %.*s", size > 80 ? 80 : (int)size, text);
    }
}

static char *event_text(const char *kind, const char *event, int64_t id, const char *arguments)
{
    static char *text;
    static size_t capacity;
    size_t needed = strlen(event) + strlen(arguments) + 128;
    if (capacity < needed) {
        text = realloc(text, capacity = needed);
        if (text == NULL)
            fail("no memory");
    }
    char number[32] = "";
    if (options.dialect == SOCKETIO) {
        if (id >= 0)
            snprintf(number, sizeof number, "%lld", (long long)id);
        snprintf(text, capacity, "%s%s[\"%s\",%s]", kind, number, event, arguments);
    } else {
        if (id >= 0)
            snprintf(number, sizeof number, ",\"id\":%lld", (long long)id);
        snprintf(text, capacity, "{\"event\":\"%s\",\"args\":[%s]%s}", event, arguments, number);
    }
    return text;
}

void client_emit(struct client *client, const char *event, int64_t id, const char *arguments)
{
    const char *text = event_text("42", event, id, arguments);
    send_packet(client, text, strlen(text));
}

void client_emit_binary(struct client *client, const char *event, const char *arguments,
                        const void *data, size_t size)
{
    const char *text = event_text("451-", event, -1, arguments);
    websocket_send(client, OP_TEXT, text, strlen(text));
    websocket_send(client, OP_BINARY, data, size);
    connection_flush(&client->connection);
}

bool client_acknowledged(const char *text, size_t size, int64_t *id)
{
    static const char ACK[] = "{\"ack\":";
    if (options.dialect == SOCKETIO) {
        if (size < 2 || text[0] != '3')
            return false;
        *id = strtoll(text + 1, NULL, 10);
        return true;
    }
    if (size < sizeof ACK || memcmp(text, ACK, sizeof ACK - 1) != 0)
        return false;
    *id = strtoll(text + sizeof ACK - 1, NULL, 10);
    return true;
}
