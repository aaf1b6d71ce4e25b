/* PURE. Answers of the v2 API, in the order of fields and with the omissions of etcd's own. */
#include "base/assert.h"
#include "raft/etcd/etcd_text.h"
#include "raft/etcd/etcd_v2_request.h"

#include <inttypes.h>

const char *etcd_v2_action(enum etcd_v2_op op)
{
    switch (op) {
    case ETCD_V2_OP_GET:
    case ETCD_V2_OP_WATCH: return "get";
    case ETCD_V2_OP_SET: return "set";
    case ETCD_V2_OP_CREATE:
    case ETCD_V2_OP_CREATE_IN_ORDER: return "create";
    case ETCD_V2_OP_UPDATE: return "update";
    case ETCD_V2_OP_COMPARE_AND_SWAP: return "compareAndSwap";
    case ETCD_V2_OP_DELETE: return "delete";
    case ETCD_V2_OP_COMPARE_AND_DELETE: return "compareAndDelete";
    }
    ASSERT(false);
    return "";
}

/* --- time ------------------------------------------------------------------------------------- */

struct date {
    int64_t year;
    unsigned month;
    unsigned day;
};

/* Days since 1970-01-01 to a date of the Gregorian calendar: eras of 400 years that begin in March,
 * so that the leap day is a year's last (Howard Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static struct date date_of(int64_t days)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned of_era = (unsigned)(shifted - era * 146097);
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month_from_march = (5 * of_year + 2) / 153;
    unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return (struct date){.year = (int64_t)year_of_era + era * 400 + (month <= 2 ? 1 : 0),
                         .month = month,
                         .day = of_year - (153 * month_from_march + 2) / 5 + 1};
}

void etcd_v2_put_time(int64_t ns, struct buf *out)
{
    const int64_t second_ns = 1000 * 1000 * 1000;
    const int64_t day_s = 86400;
    int64_t fraction = ((ns % second_ns) + second_ns) % second_ns;
    int64_t seconds = ns / second_ns - (ns % second_ns < 0 ? 1 : 0);
    int64_t of_day = ((seconds % day_s) + day_s) % day_s;
    struct date date = date_of((seconds - of_day) / day_s);
    unsigned width = 9;
    buf_printf(out, "\"%04" PRId64 "-%02u-%02uT%02u:%02u:%02u", date.year, date.month, date.day,
               (unsigned)(of_day / 3600), (unsigned)(of_day / 60 % 60), (unsigned)(of_day % 60));
    if (fraction != 0) {
        for (; fraction % 10 == 0; fraction /= 10) {
            width--;
        }
        buf_printf(out, ".%0*" PRId64, (int)width, fraction);
    }
    buf_put_str(out, "Z\"");
}

/* --- nodes ------------------------------------------------------------------------------------ */

/* `name` with a comma before it, but for the first of an object. */
static void put_name(struct buf *out, const char *name)
{
    buf_put_str(out, out->data[out->len - 1] == '{' ? "\"" : ",\"");
    buf_put_str(out, name);
    buf_put_str(out, "\":");
}

static void put_number(struct buf *out, const char *name, uint64_t number)
{
    if (number != 0) {
        put_name(out, name);
        buf_printf(out, "%" PRIu64, number);
    }
}

void etcd_v2_node_begin(const struct etcd_v2_node *node, struct buf *out)
{
    buf_put_u8(out, '{');
    if (node->key.len > 0) {
        put_name(out, "key");
        json_put_string(out, node->key);
    }
    if (node->has_value) {
        put_name(out, "value");
        json_put_string(out, node->value);
    }
    if (node->dir) {
        put_name(out, "dir");
        buf_put_str(out, "true");
    }
    if (node->has_expiration) {
        put_name(out, "expiration");
        etcd_v2_put_time(node->expiration_ns, out);
    }
    if (node->ttl_s != 0) {
        put_name(out, "ttl");
        buf_printf(out, "%" PRId64, node->ttl_s);
    }
}

void etcd_v2_node_end(const struct etcd_v2_node *node, struct buf *out)
{
    put_number(out, "modifiedIndex", node->modified_index);
    put_number(out, "createdIndex", node->created_index);
    buf_put_u8(out, '}');
}

static void put_node(struct buf *out, const struct etcd_v2_node *node)
{
    etcd_v2_node_begin(node, out);
    etcd_v2_node_end(node, out);
}

void etcd_v2_answer(const char *action, const struct etcd_v2_node *node,
                    const struct etcd_v2_node *prev_node, struct buf *out)
{
    buf_printf(out, "{\"action\":\"%s\"", action);
    if (node != NULL) {
        buf_put_str(out, ",\"node\":");
        put_node(out, node);
    }
    if (prev_node != NULL) {
        buf_put_str(out, ",\"prevNode\":");
        put_node(out, prev_node);
    }
    buf_put_str(out, "}\n");
}
