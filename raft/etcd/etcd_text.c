/* PURE. UTF-8 by the table of the Unicode standard (well-formed byte sequences), no library. */
#include "raft/etcd/etcd_text.h"

enum { ASCII_MAX = 0x7f };

static bool is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

size_t utf8_len(struct span text)
{
    const uint8_t *c = text.data;
    if (c[0] <= ASCII_MAX) {
        return 1;
    }
    if (c[0] >= 0xc2 && c[0] <= 0xdf) {
        return text.len >= 2 && is_tail(c[1]) ? 2 : 0;
    }
    if (c[0] >= 0xe0 && c[0] <= 0xef) {
        bool is_good = text.len >= 3 && is_tail(c[1]) && is_tail(c[2]);
        bool is_overlong = is_good && c[0] == 0xe0 && c[1] < 0xa0;
        bool is_surrogate = is_good && c[0] == 0xed && c[1] > 0x9f;
        return is_good && !is_overlong && !is_surrogate ? 3 : 0;
    }
    if (c[0] >= 0xf0 && c[0] <= 0xf4) {
        bool is_good = text.len >= 4 && is_tail(c[1]) && is_tail(c[2]) && is_tail(c[3]);
        bool is_overlong = is_good && c[0] == 0xf0 && c[1] < 0x90;
        bool is_beyond = is_good && c[0] == 0xf4 && c[1] > 0x8f;
        return is_good && !is_overlong && !is_beyond ? 4 : 0;
    }
    return 0;
}

void utf8_put(struct buf *out, uint32_t code_point)
{
    if (code_point <= ASCII_MAX) {
        buf_put_u8(out, (uint8_t)code_point);
    } else if (code_point <= 0x7ff) {
        buf_put_u8(out, (uint8_t)(0xc0 | code_point >> 6));
        buf_put_u8(out, (uint8_t)(0x80 | (code_point & 0x3f)));
    } else if (code_point <= 0xffff) {
        buf_put_u8(out, (uint8_t)(0xe0 | code_point >> 12));
        buf_put_u8(out, (uint8_t)(0x80 | (code_point >> 6 & 0x3f)));
        buf_put_u8(out, (uint8_t)(0x80 | (code_point & 0x3f)));
    } else {
        buf_put_u8(out, (uint8_t)(0xf0 | code_point >> 18));
        buf_put_u8(out, (uint8_t)(0x80 | (code_point >> 12 & 0x3f)));
        buf_put_u8(out, (uint8_t)(0x80 | (code_point >> 6 & 0x3f)));
        buf_put_u8(out, (uint8_t)(0x80 | (code_point & 0x3f)));
    }
}

/* --- JSON ------------------------------------------------------------------------------------- */

static const char *escape_of(uint8_t c)
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

static bool is_plain(uint8_t c)
{
    return c >= ' ' && c <= ASCII_MAX && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* By hand: a value may be a million of them. */
static void put_json_code(struct buf *out, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";
    const char code[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 0xf]};
    buf_put(out, code, sizeof code);
}

static void put_json_char(struct buf *out, struct span text, size_t len)
{
    const uint8_t *c = text.data;
    const char *escape = escape_of(c[0]);
    if (len == 0) {
        buf_put_str(out, "\\ufffd");
    } else if (escape != NULL) {
        buf_put_str(out, escape);
    } else if (len == 1) {
        put_json_code(out, c[0]);
    } else if (len == 3 && c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)) {
        buf_printf(out, "\\u202%x", (unsigned)(c[2] & 0xf));
    } else {
        buf_put(out, c, len);
    }
}

void json_put_string(struct buf *out, struct span text)
{
    buf_put_u8(out, '"');
    while (text.len > 0) {
        size_t plain = 0;
        while (plain < text.len && is_plain(text.data[plain])) {
            plain++;
        }
        buf_put(out, text.data, plain);
        text = span_of(text.data + plain, text.len - plain);
        if (text.len > 0) {
            size_t len = utf8_len(text);
            put_json_char(out, text, len);
            len = len == 0 ? 1 : len;
            text = span_of(text.data + len, text.len - len);
        }
    }
    buf_put_u8(out, '"');
}

void json_put_base64(struct buf *out, struct span bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_reserve(out, bytes.len / 3 * 4 + 6);
    buf_put_u8(out, '"');
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)bytes.data[i] << 16 |
                        (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                        (left > 2 ? bytes.data[i + 2] : 0);
        uint8_t *four = out->data + out->len; /* there is room for all */
        four[0] = (uint8_t)alphabet[bits >> 18];
        four[1] = (uint8_t)alphabet[bits >> 12 & 0x3f];
        four[2] = (uint8_t)(left > 1 ? alphabet[bits >> 6 & 0x3f] : '=');
        four[3] = (uint8_t)(left > 2 ? alphabet[bits & 0x3f] : '=');
        out->len += 4;
    }
    buf_put_u8(out, '"');
}

/* --- strconv ---------------------------------------------------------------------------------- */

static void quote_ascii(struct buf *out, uint8_t c, char quote)
{
    static const char escapes[] = "abtnvfr"; /* of 7 to 13 */
    if (c == (uint8_t)quote || c == '\\') {
        buf_printf(out, "\\%c", c);
    } else if (c >= 7 && c <= 13) {
        buf_printf(out, "\\%c", escapes[c - 7]);
    } else if (c < ' ' || c == ASCII_MAX) {
        buf_printf(out, "\\x%02x", (unsigned)c);
    } else {
        buf_put_u8(out, c);
    }
}

void go_quote(struct buf *out, struct span text)
{
    buf_put_u8(out, '"');
    while (text.len > 0) {
        size_t len = utf8_len(text);
        if (len == 0) {
            buf_printf(out, "\\x%02x", (unsigned)text.data[0]);
            len = 1;
        } else if (len == 1) {
            quote_ascii(out, text.data[0], '"');
        } else {
            buf_put(out, text.data, len);
        }
        text = span_of(text.data + len, text.len - len);
    }
    buf_put_u8(out, '"');
}

void go_quote_char(struct buf *out, uint8_t c)
{
    buf_put_u8(out, '\'');
    if (c <= ASCII_MAX) {
        quote_ascii(out, c, '\'');
    } else if (c <= 0xa0 || c == 0xad) { /* not printable in Latin 1 */
        buf_printf(out, "\\u%04x", (unsigned)c);
    } else {
        utf8_put(out, c);
    }
    buf_put_u8(out, '\'');
}

bool go_parse_u64(struct span digits, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9' ||
            __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digits.data[i] - '0'), &value)) {
            return false;
        }
    }
    *ret_value = value;
    return digits.len > 0;
}
