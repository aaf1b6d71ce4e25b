/* The head of a slot's state file, which PostgreSQL 13 to 17 have alike (slot.c):
 *
 *   magic, CRC-32C of all that follows, version, length of all that follows;
 *   name[64], database, persistency, xmin, catalog_xmin, restart_lsn, ...
 *
 * in the byte order of the host: a standby has its primary's. Version and the rest are the server's
 * own business: both are of one major version. */
#include "pgctl/pg_parse.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x1051CA1U

enum { CHECKSUM_AT = 4, SUMMED_AT = 8, LENGTH_AT = 12, NAME_AT = 16, HEAD_BYTES = 104 };
enum {
    PERSISTENCY_AT = NAME_AT + 64 + 4,
    CATALOG_XMIN_AT = NAME_AT + 76,
    RESTART_AT = NAME_AT + 80
};
enum { PERSISTENT = 0 };

/* Castagnoli's polynomial, reflected. */
static uint32_t crc32c(struct span bytes)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0x82F63B78U & (0U - (crc & 1U)));
        }
    }
    return ~crc;
}

static uint32_t u32_at(struct span bytes, size_t at)
{
    uint32_t value;
    memcpy(&value, (const char *)bytes.data + at, sizeof value);
    return value;
}

static const char *fault_of(struct span bytes, const char *name)
{
    if (bytes.len < HEAD_BYTES || u32_at(bytes, 0) != MAGIC) {
        return "it is none";
    }
    if (u32_at(bytes, LENGTH_AT) != bytes.len - NAME_AT) {
        return "it is cut, or has something behind its end";
    }
    struct span summed = span_of((const char *)bytes.data + SUMMED_AT, bytes.len - SUMMED_AT);
    if (crc32c(summed) != u32_at(bytes, CHECKSUM_AT)) {
        return "its checksum is wrong";
    }
    if (strncmp((const char *)bytes.data + NAME_AT, name, PG_NAME_BYTES) != 0) {
        return "it is another slot's";
    }
    return u32_at(bytes, PERSISTENCY_AT) != PERSISTENT ? "the slot is not finished" : NULL;
}

int pg_slot_file_read(struct span bytes, const char *name, struct pg_slot_file *ret_file,
                      struct error *err)
{
    const char *fault = fault_of(bytes, name);
    struct pg_slot_file file = {0};
    if (fault == NULL) {
        file.catalog_xmin = u32_at(bytes, CATALOG_XMIN_AT);
        memcpy(&file.restart_lsn, (const char *)bytes.data + RESTART_AT, sizeof file.restart_lsn);
        fault = file.catalog_xmin == 0 || file.restart_lsn == 0 ? "the slot holds nothing" : NULL;
    }
    if (fault != NULL) {
        return error_set(err, ERR_CORRUPT, "the state of slot '%.64s': %s", name, fault);
    }
    *ret_file = file;
    return 0;
}

uint32_t pg_slot_mark_parse(const char *text)
{
    static const char good[] = PG_SLOT_MARK_GOOD;
    if (strncmp(text, good, sizeof good - 1) != 0) {
        return 0;
    }
    const char *digits = text + sizeof good - 1;
    char *end = NULL;
    unsigned long number = digits[0] >= '1' && digits[0] <= '9' ? strtoul(digits, &end, 10) : 0;
    return end != NULL && *end == '\n' && number <= UINT32_MAX ? (uint32_t)number : 0;
}
