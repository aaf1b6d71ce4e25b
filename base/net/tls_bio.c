#include "base/net/tls_bio.h"

#include <string.h>
#include <uv.h>

static BIO_METHOD *method;
static uv_once_t method_once = UV_ONCE_INIT;

static int wire_write(BIO *bio, const char *data, int len)
{
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0) {
        return 0;
    }
    buf_put(&wire->out, data, (size_t)len);
    return len;
}

static int wire_read(BIO *bio, char *data, int size)
{
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (wire->in.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t len = size > 0 ? (size_t)size : 0;
    len = len < wire->in.len ? len : wire->in.len;
    memcpy(data, wire->in.data, len);
    wire->in = span_of(wire->in.data + len, wire->in.len - len);
    return (int)len;
}

static long wire_ctrl(BIO *bio, int command, long number, void *ptr)
{
    (void)bio;
    (void)number;
    (void)ptr;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static void method_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (method != NULL &&
        (BIO_meth_set_write(method, wire_write) != 1 || BIO_meth_set_read(method, wire_read) != 1 ||
         BIO_meth_set_ctrl(method, wire_ctrl) != 1)) {
        BIO_meth_free(method);
        method = NULL;
    }
}

BIO *tls_bio_new(struct tls_wire *wire)
{
    uv_once(&method_once, method_make);
    BIO *bio = method != NULL ? BIO_new(method) : NULL;
    if (bio != NULL) {
        BIO_set_data(bio, wire);
        BIO_set_init(bio, 1);
    }
    return bio;
}
