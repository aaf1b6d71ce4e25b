/* PURE. The names and the records are taken apart by libresolv's ns_* functions, which bound what
 * they read (also pointers that go round in circles); what comes out is checked here. */
#include "base/net/srv_answer.h"

#include <arpa/nameser.h>
#include <resolv.h>
#include <string.h>

#define SRV_FIXED_BYTES 6 /* priority, weight, port */

static const char host_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

static bool is_host(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && name[0] != '.' && strspn(name, host_bytes) == len;
}

/* 0; ERR_NOT_FOUND: it is none of use. */
static int read_record(const ns_msg *message, const ns_rr *rr, struct srv_record *ret_record)
{
    struct srv_record record = {0};
    const uint8_t *data = ns_rr_rdata(*rr);
    if (ns_rr_type(*rr) != ns_t_srv || ns_rr_class(*rr) != ns_c_in) {
        return ERR_NOT_FOUND;
    }
    if (ns_rr_rdlen(*rr) <= SRV_FIXED_BYTES ||
        dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + SRV_FIXED_BYTES,
                  record.target, sizeof record.target) < 0) {
        return ERR_CORRUPT;
    }
    record.priority = (uint16_t)ns_get16(data);
    record.weight = (uint16_t)ns_get16(data + 2);
    record.port = (uint16_t)ns_get16(data + 4);
    if (record.port == 0 || !is_host(record.target)) {
        return ERR_NOT_FOUND;
    }
    *ret_record = record;
    return 0;
}

static void add_record(struct srv_answer *answer, const struct srv_record *record, uint32_t ttl_s)
{
    if (answer->count == 0 || ttl_s < answer->ttl_s) {
        answer->ttl_s = ttl_s;
    }
    answer->records[answer->count++] = *record;
}

static int open_message(struct span bytes, ns_msg *ret_message, struct error *err)
{
    if (bytes.len > SRV_ANSWER_BYTES_MAX ||
        ns_initparse(bytes.data, (int)bytes.len, ret_message) != 0) {
        return error_set(err, ERR_CORRUPT, "the answer is broken");
    }
    if (ns_msg_getflag(*ret_message, ns_f_qr) == 0) {
        return error_set(err, ERR_CORRUPT, "that is no answer");
    }
    int rcode = ns_msg_getflag(*ret_message, ns_f_rcode);
    if (rcode == ns_r_nxdomain) {
        return error_set(err, ERR_NOT_FOUND, "there is no such name");
    }
    return rcode == ns_r_noerror
               ? 0
               : error_set(err, ERR_REFUSED, "the name server answers with error %d", rcode);
}

int srv_answer_parse(struct span bytes, struct srv_answer *ret_answer, struct error *err)
{
    ns_msg message;
    struct srv_answer answer = {.count = 0};
    int rc = open_message(bytes, &message, err);
    if (rc != 0) {
        return rc;
    }
    bool cut = ns_msg_getflag(message, ns_f_tc) != 0;
    int count = ns_msg_count(message, ns_s_an);
    for (int i = 0; i < count && answer.count < SRV_RECORDS_MAX; i++) {
        ns_rr rr;
        struct srv_record record;
        rc = ns_parserr(&message, ns_s_an, i, &rr) != 0 ? ERR_CORRUPT
                                                        : read_record(&message, &rr, &record);
        if (rc == ERR_CORRUPT) {
            return error_set(err, ERR_CORRUPT, "record %d of the answer is broken", i + 1);
        }
        if (rc == 0) {
            add_record(&answer, &record, ns_rr_ttl(rr));
        }
    }
    if (answer.count == 0) {
        return error_set(err, cut ? ERR_CORRUPT : ERR_NOT_FOUND, "%s",
                         cut ? "the answer is cut off before its first record"
                             : "there is no SRV record of use");
    }
    *ret_answer = answer;
    return 0;
}

/* Which of those behind `first` comes next: RFC 2782, page 3. */
static size_t pick(const struct srv_answer *answer, size_t first, uint32_t lot)
{
    const struct srv_record *records = answer->records;
    uint16_t priority = records[first].priority;
    uint64_t sum = 0;
    for (size_t i = first; i < answer->count; i++) {
        priority = records[i].priority < priority ? records[i].priority : priority;
    }
    for (size_t i = first; i < answer->count; i++) {
        sum += records[i].priority == priority ? records[i].weight : 0U;
    }
    uint64_t point = lot % (sum + 1);
    size_t last = first;
    uint64_t reached = 0;
    for (size_t i = first; i < answer->count; i++) { /* those without weight stand in front */
        if (records[i].priority == priority && records[i].weight == 0 && point == 0) {
            return i;
        }
    }
    for (size_t i = first; i < answer->count; i++) {
        if (records[i].priority != priority) {
            continue;
        }
        last = i;
        reached += records[i].weight;
        if (reached >= point) {
            break;
        }
    }
    return last;
}

void srv_answer_order(struct srv_answer *answer, uint64_t random)
{
    for (size_t i = 0; i + 1 < answer->count; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        size_t next = pick(answer, i, (uint32_t)(random >> 32));
        struct srv_record taken = answer->records[next];
        answer->records[next] = answer->records[i];
        answer->records[i] = taken;
    }
}
