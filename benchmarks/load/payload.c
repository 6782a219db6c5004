/* Payloads that say which message they are, so that loss and duplicates are seen. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text, *bytes;

void payload_open(void)
{
    text = malloc((size_t)options.size + 1);
    bytes = malloc((size_t)options.size);
    if (text == NULL || bytes == NULL)
        fail("no memory");
    for (int index = 0; index < options.size; index++) {
        text[index] = (char)('a' + index % 26);
        bytes[index] = (char)(index % 251);
    }
    text[options.size] = 0;
}

static char *mark(char *data, uint32_t number)
{
    char head[MARK_SIZE + 1];
    snprintf(head, sizeof head, "#%08u#", number % 100000000);
    memcpy(data, head, MARK_SIZE);
    return data;
}

char *payload_text(uint32_t number)
{
    return mark(text, number);
}

char *payload_bytes(uint32_t number)
{
    return mark(bytes, number);
}

/* Return where a payload starts in a message, or NULL. */
const char *payload_find(const char *message, size_t size)
{
    return memchr(message, '#', size);
}

/* Check a payload from its start to its last byte, and tell its number. */
bool payload_check(const char *data, size_t size, bool binary, uint32_t *number)
{
    const char *expected = binary ? bytes : text;
    size_t whole = (size_t)options.size;
    if (size < whole || data[0] != '#' || data[MARK_SIZE - 1] != '#')
        return false;
    uint32_t value = 0;
    for (int index = 1; index < MARK_SIZE - 1; index++) {
        if (data[index] < '0' || data[index] > '9')
            return false;
        value = value * 10 + (uint32_t)(data[index] - '0');
    }
    *number = value;
    if (memcmp(data + MARK_SIZE, expected + MARK_SIZE, whole - MARK_SIZE) != 0)
        return false;
    return binary ? size == whole : size > whole && data[whole] == '"';
}
