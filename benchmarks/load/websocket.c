/* The WebSocket transport (RFC 6455): the handshake, masked frames out, frames in. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state = 0x9e3779b97f4a7c15u;

static uint32_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

const char *header_end(const struct buffer *in)
{
    return memmem(in->data + in->start, in->end - in->start, "\r\n\r\n", 4);
}

int response_status(const struct buffer *in)
{
    const char *text = in->data + in->start;
    return in->end - in->start > 12 && memcmp(text, "HTTP/1.1 ", 9) == 0 ? atoi(text + 9) : 0;
}

/* Return sixteen random bytes in base64 ("Client Requirements"). */
static const char *handshake_key(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char key[25];
    for (int index = 0; index < 21; index++)
        key[index] = digits[random_word() % 64];
    key[21] = digits[random_word() % 4 * 16]; /* its last bits stand for nothing */
    key[22] = key[23] = '=';
    return key;
}

void websocket_request(struct client *client)
{
    char request[2048];
    int size = snprintf(request, sizeof request,
                        "GET %s%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: %s\r\n%s%s%s\r\n",
                        options.path,
                        options.dialect == SOCKETIO ? "?EIO=4&transport=websocket" : "",
                        client->port, handshake_key(), options.cookie ? "Cookie: " : "",
                        options.cookie ? options.cookie : "", options.cookie ? "\r\n" : "");
    if (size >= (int)sizeof request)
        fail("the handshake is too long");
    buffer_append(&client->connection.out, request, (size_t)size);
}

/* Put a masked frame into the output ("Base Framing Protocol"). */
void websocket_send(struct client *client, enum opcode opcode, const void *data, size_t size)
{
    struct buffer *out = &client->connection.out;
    unsigned char head[14] = {(unsigned char)(0x80 | opcode)};
    size_t length = 2;
    if (size < 126) {
        head[1] = (unsigned char)(0x80 | size);
    } else {
        int bytes = size < 65536 ? 2 : 8;
        head[1] = (unsigned char)(0x80 | (bytes == 2 ? 126 : 127));
        for (int index = bytes - 1; index >= 0; index--)
            head[length++] = (unsigned char)((uint64_t)size >> (8 * index));
    }
    uint32_t mask = random_word();
    memcpy(head + length, &mask, sizeof mask);
    buffer_append(out, head, length + sizeof mask);
    buffer_append(out, data, size);
    char *body = out->data + out->end - size;
    size_t index = 0;
    uint64_t wide = (uint64_t)mask << 32 | mask;
    for (; index + 8 <= size; index += 8) {
        uint64_t word;
        memcpy(&word, body + index, 8);
        word ^= wide;
        memcpy(body + index, &word, 8);
    }
    for (; index < size; index++)
        body[index] ^= (char)(mask >> (8 * (index % 4)));
}

static bool upgraded(struct client *client)
{
    struct buffer *in = &client->connection.in;
    const char *end = header_end(in);
    if (end == NULL)
        return false;
    int status = response_status(in);
    in->start = (size_t)(end + 4 - in->data);
    if (status != 101) {
        note_failure("the handshake was answered with status %d", status);
        client_lost(&client->connection);
        return false;
    }
    client->state = OPENING;
    return true;
}

static void take(struct client *client, int opcode, const char *data, size_t size)
{
    switch (opcode) {
    case OP_TEXT:
        client_text(client, data, size);
        break;
    case OP_BINARY:
        if (client->state == READY && handlers.attachment)
            handlers.attachment(client, data, size);
        break;
    case OP_PING:
        websocket_send(client, OP_PONG, data, size);
        break;
    case OP_CLOSE:
        if (client->state != CLOSING) {
            totals.closed++;
            note_failure("the server closed: %.*s", size > 2 ? (int)size - 2 : 0, data + 2);
        }
        client_lost(&client->connection);
        break;
    case OP_PONG:
        break;
    default:
        note_failure("an unexpected frame of opcode %d", opcode);
    }
}

/* Take every whole frame that is there. */
void websocket_read(struct client *client)
{
    struct buffer *in = &client->connection.in;
    if (client->state == HANDSHAKE && !upgraded(client))
        return;
    while (client->connection.fd >= 0 && in->end - in->start >= 2) {
        const unsigned char *head = (unsigned char *)in->data + in->start;
        size_t have = in->end - in->start, skip = 2;
        uint64_t size = head[1] & 0x7f;
        if (size >= 126) {
            size_t bytes = size == 126 ? 2 : 8;
            if (have < 2 + bytes)
                return;
            size = 0;
            for (size_t index = 0; index < bytes; index++)
                size = size << 8 | head[2 + index];
            skip += bytes;
        }
        if (size > 1u << 24 || head[1] & 0x80 || !(head[0] & 0x80))
            fail("a frame that is masked, fragmented or huge");
        if (have < skip + size)
            return;
        in->start += skip + size;
        take(client, head[0] & 0x0f, (const char *)head + skip, (size_t)size);
    }
}
