/* A name server on loopback that does as the test says: for each question the test's own function
 * writes the answer, or none. */
#ifndef TESTS_UNIT_AGENT_DCS_FAKE_DNS_H
#define TESTS_UNIT_AGENT_DCS_FAKE_DNS_H

#include "base/buf.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

enum { DNS_NO_NAME = 3, DNS_SERVFAIL = 2, DNS_TRUNCATED = 0x0200 };

struct dns_record {
    const char *kind; /* the name asked for begins with it, and then comes '.' */
    uint16_t priority;
    uint16_t port;
    uint32_t ttl_s;
    const char *target;
};

static uv_udp_t dns;
static struct sockaddr_in dns_address;
static const struct dns_record *dns_records; /* ends with kind NULL */
static int dns_fault;                        /* rcode for every question; -1 = silence */
static int dns_flags;
static int dns_repeat = 1;       /* each record so many times */
static struct span dns_tail;     /* instead of records: counted as one */
static struct buf dns_questions; /* "_etcd._tcp.example.org\n" */
static uint8_t dns_answer_bytes[8192];

static inline void dns_put16(struct buf *out, unsigned value)
{
    uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    buf_put(out, bytes, 2);
}

static inline void dns_put_name(struct buf *out, const char *name)
{
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        uint8_t byte = (uint8_t)len;
        buf_put(out, &byte, 1);
        buf_put(out, name, len);
        name += len + (name[len] == '.');
    }
    buf_put(out, "", 1);
}

static inline void dns_put_record(struct buf *out, const struct dns_record *record)
{
    struct buf data = BUF_INIT;
    dns_put16(&data, record->priority);
    dns_put16(&data, 1);
    dns_put16(&data, record->port);
    dns_put_name(&data, record->target);
    dns_put16(out, 0xc00c); /* the name of the question */
    dns_put16(out, 33);
    dns_put16(out, 1);
    dns_put16(out, record->ttl_s >> 16);
    dns_put16(out, record->ttl_s);
    dns_put16(out, (unsigned)data.len);
    buf_put(out, data.data, data.len);
    buf_free(&data);
}

static inline unsigned dns_put_records(struct buf *out, const char *name)
{
    unsigned count = 0;
    for (const struct dns_record *r = dns_records; r != NULL && r->kind != NULL; r++) {
        size_t len = strlen(r->kind);
        for (int i = 0; strncmp(name, r->kind, len) == 0 && name[len] == '.' && i < dns_repeat;
             i++) {
            dns_put_record(out, r);
            count++;
        }
    }
    return count;
}

/* The name of the question, with dots; the question's length. */
static inline size_t dns_read_name(const uint8_t *bytes, size_t len, char name[256])
{
    size_t at = 12;
    size_t used = 0;
    while (at < len && bytes[at] != 0 && used + bytes[at] + 1U < 256) {
        memcpy(name + used, bytes + at + 1, bytes[at]);
        used += bytes[at];
        name[used++] = '.';
        at += bytes[at] + 1U;
    }
    name[used > 0 ? used - 1 : 0] = '\0';
    return at + 5 - 12;
}

static inline void dns_answer(const uint8_t *question, size_t len, const struct sockaddr *from)
{
    char name[256];
    struct buf records = BUF_INIT;
    struct buf out = BUF_INIT;
    size_t question_len = dns_read_name(question, len, name);

    char *line = mem_printf("%s\n", name); /* asked twice, if the machine is slow */
    size_t before = strlen(buf_str(&dns_questions));
    if (before < strlen(line) ||
        strcmp(buf_str(&dns_questions) + before - strlen(line), line) != 0) {
        buf_put_str(&dns_questions, line);
    }
    mem_free(line);
    unsigned count = dns_put_records(&records, name);
    if (dns_tail.len > 0) {
        buf_put_span(&records, dns_tail);
        count++;
    }
    if (dns_fault >= 0) {
        int rcode = dns_fault == 0 && count == 0 && (dns_flags & DNS_TRUNCATED) == 0 ? DNS_NO_NAME
                                                                                     : dns_fault;
        buf_put(&out, question, 2);
        dns_put16(&out, 0x8180U | (unsigned)rcode | (unsigned)dns_flags);
        dns_put16(&out, 1);
        dns_put16(&out, rcode == 0 ? count : 0);
        dns_put16(&out, 0);
        dns_put16(&out, 0);
        buf_put(&out, question + 12, question_len);
        if (rcode == 0) {
            buf_put(&out, records.data, records.len);
        }
        uv_buf_t sent = uv_buf_init((char *)out.data, (unsigned)out.len);
        (void)uv_udp_try_send(&dns, &sent, 1, from);
    }
    buf_free(&records);
    buf_free(&out);
}

static inline void dns_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)handle;
    (void)suggested;
    *ret_buf = uv_buf_init((char *)dns_answer_bytes, sizeof dns_answer_bytes);
}

static inline void dns_on_question(uv_udp_t *udp, ssize_t len, const uv_buf_t *bytes,
                                   const struct sockaddr *from, unsigned flags)
{
    (void)udp;
    (void)flags;
    if (len > 17 && from != NULL) {
        dns_answer((const uint8_t *)bytes->base, (size_t)len, from);
    }
}

static inline void dns_open(uv_loop_t *on)
{
    int size = sizeof dns_address;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    dns_records = NULL;
    dns_fault = 0;
    dns_flags = 0;
    dns_repeat = 1;
    dns_tail = span_of(NULL, 0);
    assert_int_equal(uv_udp_init(on, &dns), 0);
    assert_int_equal(uv_udp_bind(&dns, (const struct sockaddr *)&any, 0), 0);
    assert_int_equal(uv_udp_getsockname(&dns, (struct sockaddr *)&dns_address, &size), 0);
    assert_int_equal(uv_udp_recv_start(&dns, dns_on_alloc, dns_on_question), 0);
}

static inline void dns_close(void)
{
    uv_close((uv_handle_t *)&dns, NULL);
    buf_free(&dns_questions);
}

#endif
