/* Golden texts: lines of columns with a tab between; lines that begin with # are remarks. */
#ifndef TESTS_UNIT_RAFT_ETCD_GOLDEN_H
#define TESTS_UNIT_RAFT_ETCD_GOLDEN_H

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GOLDEN_COLUMNS = 5, GOLDEN_LINE_BYTES = 65536 };

/* Calls `check` with the columns of each line (NULL beyond the last); returns the lines. */
static inline size_t golden_each(const char *path,
                                 void (*check)(char *const columns[GOLDEN_COLUMNS]))
{
    size_t lines = 0;
    char *line = mem_alloc(GOLDEN_LINE_BYTES);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("%s is not there", path);
    }
    while (fgets(line, GOLDEN_LINE_BYTES, file) != NULL) {
        char *columns[GOLDEN_COLUMNS] = {NULL};
        char *rest = line;
        if (line[0] == '#') {
            continue;
        }
        line[strcspn(line, "\n")] = '\0';
        for (size_t i = 0; i < GOLDEN_COLUMNS && rest != NULL; i++) {
            columns[i] = strsep(&rest, "\t");
        }
        lines++;
        check(columns);
    }
    (void)fclose(file);
    mem_free(line);
    return lines;
}

static inline void golden_unhex(const char *hex, struct buf *out)
{
    for (; hex[0] != '\0'; hex += 2) {
        unsigned byte = 0;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        buf_put_u8(out, (uint8_t)byte);
    }
}

static inline void golden_hex(struct span bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        buf_printf(out, "%02x", bytes.data[i]);
    }
}

/* A text that was written as a JSON string, one byte a character. */
static inline void golden_unquote(const char *text, struct buf *out)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    for (text++; *text != '"' || text[1] != '\0'; text++) {
        unsigned byte = (unsigned char)*text;
        if (*text == '\\' && text[1] == 'u') {
            assert_int_equal(sscanf(text + 2, "%4x", &byte), 1);
            text += 5;
        } else if (*text == '\\') {
            text++;
            byte = (unsigned char)bytes[strchr(escapes, *text) - escapes];
        }
        buf_put_u8(out, (uint8_t)byte);
    }
}

#endif
