// hiredis, of which only the reply reader is used: no socket of its own, no allocation of reply trees.
#pragma once
#include <hiredis/hiredis.h>
#include <string.h>

// Bytes that were fed and do not make a whole reply yet.
static inline size_t adtrack_reader_unparsed(const redisReader *reader) {
    return reader->len - reader->pos;
}

// Whether the reader waits for the end of a line (true) or for the body of a string whose length it knows (false).
// A waiting line is searched again from its start at every feed, so it must stay short; a body is not.
static inline int adtrack_reader_waits_for_line(const redisReader *reader) {
    size_t unparsed = reader->len - reader->pos;
    if (reader->ridx < 0 || reader->rstack[reader->ridx].type != REDIS_REPLY_STRING) return 1;
    return memchr(reader->buf + reader->pos, '\r', unparsed < 32 ? unparsed : 32) == NULL;
}
