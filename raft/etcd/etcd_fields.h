/* PURE. The field tables of etcd's messages: the one description that protobuf and JSON, reading
 * and writing, are driven by. */
#ifndef RAFT_ETCD_ETCD_FIELDS_H
#define RAFT_ETCD_ETCD_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETCD_FIELDS_MAX  16 /* of one message */
#define ETCD_NESTING_MAX 16 /* messages inside messages: 7 transactions inside transactions */
/* etcd's own limit of a list in a transaction (etcdserver: too many operations in txn request). */
#define ETCD_TXN_OPS_MAX 128
/* etcd has no limit, and two of them say all that there is to say. */
#define ETCD_WATCH_FILTERS_MAX 64

enum etcd_kind {
    ETCD_KIND_BOOL,
    ETCD_KIND_INT64,
    ETCD_KIND_UINT64,
    ETCD_KIND_UINT32,
    ETCD_KIND_ENUM,
    ETCD_KIND_BYTES,
    ETCD_KIND_STRING,
    ETCD_KIND_MESSAGE
};

struct etcd_enum {
    const char *name;          /* as Go's texts name it */
    const char *const *values; /* by number */
    size_t values_count;
};

struct etcd_type;

struct etcd_field {
    uint32_t number;
    enum etcd_kind kind;
    const char *name; /* as in the proto; JSON takes its camelCase form (range_end: rangeEnd) too */
    size_t offset;
    bool repeated;
    size_t count_offset; /* repeated: of the size_t beside the pointer */
    size_t count_max;    /* repeated: 0 = no other limit than memory */
    int count_rc;        /* and what more of them are: ERR_BUSY where they are operations */
    size_t
        proto_offset; /* repeated: of a span beside it; what is in it protobuf copies (0 = none) */
    bool oneof;
    const struct etcd_enum *names;   /* ENUM */
    const struct etcd_type *message; /* MESSAGE */
};

struct etcd_type {
    const char *name;                /* as in the proto */
    size_t bytes;                    /* of the struct */
    const struct etcd_field *fields; /* in the order of the proto */
    size_t fields_count;
    size_t which_offset;    /* of a message with a oneof */
    const char *oneof_name; /* NULL = it has none */
};

#define ETCD_TYPES(X)              \
    X(empty)                       \
    X(header)                      \
    X(header_response)             \
    X(key_value)                   \
    X(event)                       \
    X(range_request)               \
    X(range_response)              \
    X(put_request)                 \
    X(put_response)                \
    X(delete_range_request)        \
    X(delete_range_response)       \
    X(request_op)                  \
    X(response_op)                 \
    X(compare)                     \
    X(txn_request)                 \
    X(txn_response)                \
    X(compaction_request)          \
    X(watch_create_request)        \
    X(watch_cancel_request)        \
    X(watch_request)               \
    X(watch_response)              \
    X(lease_grant_request)         \
    X(lease_grant_response)        \
    X(lease_id)                    \
    X(lease_keep_alive_response)   \
    X(lease_time_to_live_request)  \
    X(lease_time_to_live_response) \
    X(lease_leases_response)       \
    X(member)                      \
    X(member_list_request)         \
    X(member_list_response)        \
    X(status_response)             \
    X(alarm_request)               \
    X(alarm_member)                \
    X(alarm_response)              \
    X(hash_kv_request)             \
    X(hash_kv_response)            \
    X(hash_response)               \
    X(move_leader_request)         \
    X(authenticate_request)        \
    X(authenticate_response)       \
    X(auth_status_response)        \
    X(health_check_request)        \
    X(health_check_response)

#define ETCD_TYPE_EXTERN(name) extern const struct etcd_type etcd_type_##name;
ETCD_TYPES(ETCD_TYPE_EXTERN)
#undef ETCD_TYPE_EXTERN

/* The table of a message by its name in the proto; NULL if there is none. */
const struct etcd_type *etcd_type_find(const char *name);
/* NULL: no field has that number. */
const struct etcd_field *etcd_field_find(const struct etcd_type *type, uint32_t number);

/* --- one field of a message, by its table ----------------------------------------------------- */

size_t etcd_field_bytes(const struct etcd_field *field); /* of one element in memory */
/* Where the value, or element `index`, is; NULL: there is none (absent, or another of the oneof).
 * A scalar outside a oneof is always there. */
const void *etcd_field_at(const struct etcd_type *type, const struct etcd_field *field,
                          const void *message, size_t index);
size_t etcd_field_count(const struct etcd_field *field, const void *message); /* repeated */
/* Absent, empty, or zero and not in a oneof: what proto3 leaves out. */
bool etcd_field_is_zero(const struct etcd_type *type, const struct etcd_field *field,
                        const void *message);

#endif
