/* PURE: PostgreSQL's texts to facts, and what follows from the facts alone. Input is untrusted:
 * everything is bounded, a wrong byte is ERR_CORRUPT (or ERR_INVALID for what a user wrote) with a
 * text that names it. */
#ifndef PGCTL_PG_PARSE_H
#define PGCTL_PG_PARSE_H

#include "base/err.h"
#include "base/span.h"
#include "pgctl/pg_types.h"

/* --- LSN: "16/B374D848" ----------------------------------------------------------------------- */

#define PG_LSN_BYTES 20 /* text with its terminator */

/* Exactly one LSN and nothing else. */
bool pg_lsn_parse(const char *text, uint64_t *ret_lsn);
/* `ret_text` has PG_LSN_BYTES; returns it. */
const char *pg_lsn_format(uint64_t lsn, char *ret_text);

/* --- timeline history ------------------------------------------------------------------------- */

#define PG_HISTORY_NAME_BYTES 17 /* "0000000A.history" */
#define PG_HISTORY_BYTES_MAX  (256 * 1024)

/* Name of the file in pg_wal. `ret_name` has PG_HISTORY_NAME_BYTES; returns it. */
const char *pg_history_name(uint32_t timeline, char *ret_name);
/* `text` is the file of `timeline`; an empty one is right for timeline 1 only. On success
 * pg_history_free. */
int pg_history_parse(uint32_t timeline, struct span text, struct pg_history *ret_history,
                     struct error *err) MUST_CHECK;
void pg_history_free(
    struct pg_history *history); /* NULL and zeroed are accepted; leaves it zeroed */
/* Where `timeline` was left for the next one; false if it is no ancestor. The history's own
 * timeline has no end. */
bool pg_history_switch_lsn(const struct pg_history *history, uint32_t timeline, uint64_t *ret_lsn);

/* --- pg_controldata (LC_ALL=C), postmaster.pid, versions -------------------------------------- */

int pg_controldata_parse(struct span text, struct pg_control *ret_control,
                         struct error *err) MUST_CHECK;
/* "in production" and so on; never NULL. */
const char *pg_control_state_name(enum pg_control_state state);

struct pg_pidfile {
    int32_t pid; /* negative in the file for a single-user backend; here always positive */
    bool single_user;
    char data_dir[PG_PATH_BYTES];
    int64_t start_s; /* wall clock */
    uint16_t port;   /* 0: not yet written, as everything after it */
    char socket_dir[PG_PATH_BYTES];
    char status[16]; /* "starting", "stopping", "ready", "standby"; "" = not yet written */
};

int pg_pidfile_parse(struct span text, struct pg_pidfile *ret_pidfile,
                     struct error *err) MUST_CHECK;
/* Clients are let in (or never will be: a standby that is not hot). Before that each connection
 * would be a FATAL line in its log. */
bool pg_pidfile_is_ready(const struct pg_pidfile *pidfile);

/* "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)" or PG_VERSION's "15\n": 15; a development
 * version counts as its major. 9.6 gives 9. ERR_CORRUPT if there is none. */
int pg_version_parse(const char *text, int *ret_major, struct error *err) MUST_CHECK;
/* ERR_UNSUPPORTED outside PG_MAJOR_MIN..PG_MAJOR_MAX, with what to do. `where` = whose version it
 * is. */
int pg_version_check(int major, const char *where, struct error *err) MUST_CHECK;

/* --- names and values ------------------------------------------------------------------------- */

/* Name of the slot that a member has on its upstream: lower case, '-' and '.' become '_', others
 * outside [a-z0-9_] "u" and four decimals of their code point (UTF-8), cut to 63. `ret_name` has
 * PG_NAME_BYTES. */
void pg_slot_name(const char *member, char *ret_name);

enum pg_slot_next {
    PG_SLOT_STAYS,
    PG_SLOT_MAKE,    /* it is not there */
    PG_SLOT_REMAKE,  /* it is there and of no use, or does harm */
    PG_SLOT_ADVANCE, /* to *ret_lsn */
};
/* `slot` NULL = there is none of that name. `own_lsn`: replayed here, or flushed on a primary. */
enum pg_slot_next pg_slot_next(const struct pg_slot *slot, const struct pg_slot_wish *wish,
                               uint64_t own_lsn, uint64_t *ret_lsn);

enum pg_logical_next {
    PG_LOGICAL_STAYS,
    PG_LOGICAL_MAKE,
    PG_LOGICAL_REMAKE,   /* what is there is of no use, or another one: what it stood for is lost */
    PG_LOGICAL_FAILOVER, /* 17: it is to be made on standbys, too */
    PG_LOGICAL_DROP,     /* standby: to be copied, or made by the server, anew */
    PG_LOGICAL_COPY,     /* standby: from the primary */
    PG_LOGICAL_ADVANCE,  /* standby: to *ret_lsn */
};
#define PG_LOGICAL_NATIVE_MAJOR 17 /* from here on the server copies slots itself */
struct pg_logical_here {
    enum pg_role role;
    int major;
    bool decodes;     /* wal_level is logical */
    uint64_t own_lsn; /* replayed here */
};
/* `slot` NULL = there is none of that name. */
enum pg_logical_next pg_logical_next(const struct pg_slot *slot, const struct pg_logical_wish *wish,
                                     const struct pg_logical_here *here, uint64_t *ret_lsn);
/* The one of that name, of whatever kind; NULL = none. */
const struct pg_slot *pg_slot_find(const struct pg_slot *slots, size_t count, const char *name);
/* It cannot be used any more: its WAL, or rows that it needs, are gone. */
bool pg_slot_is_lost(const struct pg_slot *slot);

/* A logical slot as PostgreSQL keeps it in pg_replslot/<name>/state. */
#define PG_SLOT_FILE_BYTES_MAX 4096
struct pg_slot_file {
    uint32_t catalog_xmin;
    uint64_t restart_lsn;
};
/* ERR_CORRUPT: not one, damaged (CRC-32C), cut, of another name, of a slot that is not kept over a
 * restart, or one that holds nothing. */
int pg_slot_file_read(struct span bytes, const char *name, struct pg_slot_file *ret_file,
                      struct error *err) MUST_CHECK;

/* What pgctl notes beside a slot on a standby (pgctl/jobs/slot_mark.h): the timeline of the primary
 * that was seen to keep what it needs; 0 = it is in doubt, or the text is none of ours. */
#define PG_SLOT_MARK_NAME "pgquorum.copy"
#define PG_SLOT_MARK_GOOD "good on timeline "
uint32_t pg_slot_mark_parse(const char *text);

/* Transactions count in a circle: `a` is before `b`. */
bool pg_xid_before(uint32_t a, uint32_t b);

/* --- pg_basebackup --progress ----------------------------------------------------------------- */

struct pg_copy_progress {
    int percent; /* 0..100 */
    uint64_t bytes;
    uint64_t total_bytes; /* the server's estimate; it grows where that was too small */
};

/* One line of its standard error, without the end. False: it is of something else. */
bool pg_copy_progress_parse(struct span line, struct pg_copy_progress *ret_progress);
/* It has been told that the server's checkpoint is waited for. */
bool pg_copy_is_waiting(struct span line);

#define PG_WORDS_MAX 64

/* A command as its words, as a shell splits them. `memory` has as many bytes as the text with its
 * end, and holds what is given; `ret_words` has room for PG_WORDS_MAX. ERR_INVALID, ERR_LIMIT. */
int pg_words_split(const char *text, char *memory, const char **ret_words, size_t *ret_count,
                   struct error *err) MUST_CHECK;

/* Looks at values before anybody stores them: ERR_INVALID names parameter, value and what would be
 * right. */
int pg_parameters_check(const struct pg_parameters *parameters, struct error *err) MUST_CHECK;

/* --- divergence ------------------------------------------------------------------------------- */

enum pg_divergence {
    PG_DIVERGENCE_UNKNOWN, /* a fact is missing */
    PG_DIVERGENCE_NONE,    /* our WAL is a prefix of the primary's: follow */
    PG_DIVERGENCE_REWIND,  /* we have, or may have, WAL that the primary does not have */
};

struct pg_local_position {
    uint32_t timeline;
    uint64_t lsn; /* standby: max(flushed, replayed), or min_recovery_lsn; former primary: its last
                     checkpoint */
    bool was_primary; /* it was shut down, or died, out of recovery */
    bool clean;       /* that checkpoint is its last record */
};

struct pg_local_position pg_local_position_of(const struct pg_control *control);
/* `ret_reason` (may be NULL) gets PG_VALUE_BYTES of words. `primary_history` is that of
 * `primary_timeline`. */
enum pg_divergence pg_divergence_decide(const struct pg_local_position *local,
                                        uint32_t primary_timeline,
                                        const struct pg_history *primary_history, char *ret_reason);

/* Has the primary lost WAL of its own timeline that we have of it? `primary_lsn` is where it has
 * written to, asked for after `local` was so: what a standby has, its primary has synced before, so
 * one that is further on than its primary is *later* has had it of a disk that forgot it.
 * `ret_reason` gets words where that is so. */
bool pg_divergence_is_lost(const struct pg_local_position *local, uint32_t primary_timeline,
                           uint64_t primary_lsn, char *ret_reason);

#endif
