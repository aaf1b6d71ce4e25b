/* The file: a header of 32 bytes, then frames of 24 bytes and a page; numbers are big endian.
 *
 *   header  magic, version, page size, sequence, salt (8), checksum (8) of the 24 bytes before
 *   frame   page, size of the database after a commit (0 = no commit), salt (8), checksum (8)
 *
 * A frame's checksum goes on from the one before, over its first 8 bytes and its page. After a
 * checkpoint the file is written from its beginning again: a new header, whose salt is one more in
 * its first half, and behind the new frames old ones are left, of another salt. So a frame with a
 * higher one says that the header is not the last that was synced.
 *
 * How we tell damage from a power loss: the header is synced before the first frame is written, and
 * a transaction before the first frame of the next one. So where frames are, the header is whole;
 * and after the end that can be read there may be pieces of one transaction, up to its commit, and
 * no more. */
#include "raft/engine/storage_wal.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_BYTES   32
#define SUMMED_BYTES   24
#define FRAME_BYTES    24
#define FRAME_SUMMED   8
#define PAGE_BYTES_MIN 512
#define PAGE_BYTES_MAX 65536
#define MAGIC          0x377f0682U /* the lowest bit: checksums are of big endian numbers */
#define FILE_BYTES_MAX ((off_t)1 << 32)

struct wal {
    int fd;
    off_t size;
    uint8_t header[HEADER_BYTES];
    size_t page_bytes;
    bool big_endian;
    uint32_t sum[2];
    uint8_t *frame;
};

static uint32_t number_at(const uint8_t *bytes, bool big_endian)
{
    return big_endian ? (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                            (uint32_t)bytes[2] << 8 | bytes[3]
                      : (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 |
                            (uint32_t)bytes[1] << 8 | bytes[0];
}

static void sum_add(struct wal *wal, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        wal->sum[0] += number_at(bytes + i, wal->big_endian) + wal->sum[1];
        wal->sum[1] += number_at(bytes + i + 4, wal->big_endian) + wal->sum[0];
    }
}

static bool sum_is(const struct wal *wal, const uint8_t *bytes)
{
    return number_at(bytes, true) == wal->sum[0] && number_at(bytes + 4, true) == wal->sum[1];
}

static int read_at(const struct wal *wal, off_t at, uint8_t *to, size_t len, struct error *err)
{
    size_t got = 0;
    while (got < len) {
        ssize_t more = pread(wal->fd, to + got, len - got, at + (off_t)got);
        if (more < 0 && errno == EINTR) {
            continue;
        }
        if (more <= 0) {
            return error_set(err, ERR_IO, "reading: %s", more < 0 ? strerror(errno) : "cut short");
        }
        got += (size_t)more;
    }
    return 0;
}

/* False: it is none that SQLite would take. */
static bool header_is_good(struct wal *wal)
{
    uint32_t magic = number_at(wal->header, true);
    wal->page_bytes = number_at(wal->header + 8, true);
    wal->big_endian = (magic & 1) != 0;
    wal->sum[0] = wal->sum[1] = 0;
    if ((magic & ~1U) != MAGIC || wal->page_bytes < PAGE_BYTES_MIN ||
        wal->page_bytes > PAGE_BYTES_MAX || (wal->page_bytes & (wal->page_bytes - 1)) != 0) {
        return false;
    }
    sum_add(wal, wal->header, SUMMED_BYTES);
    return sum_is(wal, wal->header + SUMMED_BYTES);
}

static bool has_salt(const struct wal *wal)
{
    return memcmp(wal->frame + FRAME_SUMMED, wal->header + 16, 8) == 0;
}

/* Not of what never was written, which is zero. */
static bool has_later_salt(const struct wal *wal)
{
    static const uint8_t none[8];
    uint32_t behind =
        number_at(wal->frame + FRAME_SUMMED, true) - number_at(wal->header + 16, true);
    return memcmp(wal->frame + FRAME_SUMMED, none, sizeof none) != 0 && behind != 0 &&
           behind <= INT32_MAX;
}

static bool frame_is_good(struct wal *wal)
{
    sum_add(wal, wal->frame, FRAME_SUMMED);
    sum_add(wal, wal->frame + FRAME_BYTES, wal->page_bytes);
    return has_salt(wal) && sum_is(wal, wal->frame + FRAME_BYTES - 8);
}

static int check_frames(struct wal *wal, struct error *err)
{
    off_t stride = (off_t)(FRAME_BYTES + wal->page_bytes);
    off_t end = 0; /* where the frames that can be read end; 0 = not yet */
    bool committed = false;
    for (off_t at = HEADER_BYTES; at + stride <= wal->size; at += stride) {
        int rc = read_at(wal, at, wal->frame, (size_t)stride, err);
        if (rc != 0) {
            return rc;
        }
        if (end == 0 && frame_is_good(wal)) {
            continue;
        }
        end = end == 0 ? at : end;
        if (has_later_salt(wal)) {
            return error_set(err, ERR_CORRUPT, "the header is older than the frame at byte %lld",
                             (long long)at);
        }
        if (!has_salt(wal)) {
            continue;
        }
        if (committed) {
            return error_set(
                err, ERR_CORRUPT,
                "the frame at byte %lld cannot be read, and transactions come after it",
                (long long)end);
        }
        committed = number_at(wal->frame + 4, true) != 0;
    }
    return 0;
}

static int check(struct wal *wal, struct error *err)
{
    if (wal->size < HEADER_BYTES + FRAME_BYTES + PAGE_BYTES_MIN) {
        return 0; /* no frame */
    }
    if (wal->size > FILE_BYTES_MAX) {
        return error_set(err, ERR_CORRUPT, "%lld bytes", (long long)wal->size);
    }
    int rc = read_at(wal, 0, wal->header, sizeof wal->header, err);
    if (rc != 0) {
        return rc;
    }
    if (!header_is_good(wal)) {
        return error_set(err, ERR_CORRUPT, "the header cannot be read, and frames come after it");
    }
    wal->frame = mem_alloc(FRAME_BYTES + wal->page_bytes);
    rc = check_frames(wal, err);
    mem_free(wal->frame);
    return rc;
}

int storage_wal_check(const char *path, struct error *err)
{
    struct wal wal = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
    struct stat found;
    if (wal.fd < 0) {
        return errno == ENOENT
                   ? 0
                   : error_set(err, err_from_errno(errno), "'%s': %s", path, strerror(errno));
    }
    int rc = fstat(wal.fd, &found) == 0
                 ? 0
                 : error_set(err, err_from_errno(errno), "%s", strerror(errno));
    if (rc == 0) {
        wal.size = found.st_size;
        rc = check(&wal, err);
    }
    (void)close(wal.fd);
    if (rc != 0) {
        error_wrap(err, "'%s'", path);
    }
    return rc;
}
