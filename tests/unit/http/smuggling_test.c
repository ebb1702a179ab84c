/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests made to be read differently by two servers in a row. Each is sent as bytes, whole and
 * byte by byte; the only request that may reach a handler is the one named, and behind anything
 * refused the connection ends, so that hidden requests (to /evil) are never seen.
 */
#include "rig.h"

static struct {
    unsigned count;
    bool is_evil;
    char log[256];
} seen;

static void
handle(struct http_exchange *x)
{
    struct slice body;
    seen.count++;
    seen.is_evil |= slice_find(x->target, SLICE("evil")) >= 0;
    err_t err = http_body_read_all(x, 4096, &body);
    size_t len = strlen(seen.log);
    (void)snprintf(seen.log + len, sizeof seen.log - len, "%.*s %.*s [%.*s]%s;",
                   (int)(x->method.len < 16 ? x->method.len : 16), x->method.data,
                   (int)(x->path.len < 32 ? x->path.len : 32), x->path.data,
                   err == OK ? (int)body.len : 0, err == OK ? body.data : "",
                   err == OK ? "" : err_info(err)->name);
    (void)http_reply(x, err == OK ? 200 : 400, NULL, 0, SLICE_EMPTY);
}

struct attack {
    const char *name;
    const char *bytes;
    const char *log;    /* what handlers see */
    const char *status; /* of the last answer */
};

#define HEAD(line) line " HTTP/1.1\r\nHost: x\r\n"
#define POST HEAD("POST /a")
#define EVIL "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
#define CL(n) "Content-Length: " n "\r\n"
#define TE(v) "Transfer-Encoding: " v "\r\n"

static const struct attack attacks[] = {
    { "CL.TE", POST CL("6") TE("chunked") "\r\n0\r\n\r\nG" EVIL, "", "400" },
    { "TE.CL", POST TE("chunked") CL("3") "\r\n1\r\nZ\r\n0\r\n\r\n" EVIL, "", "400" },
    { "TE.TE", POST TE("chunked") TE("x") "\r\n0\r\n\r\n" EVIL, "", "501" },
    { "TE.TE reversed", POST TE("x") TE("chunked") "\r\n0\r\n\r\n" EVIL, "", "501" },
    { "TE folded", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" EVIL, "", "400" },
    { "TE with a blank before the colon", POST "Transfer-Encoding : chunked\r\n\r\n" EVIL, "",
      "400" },
    { "TE with a vertical tab",
      POST TE("\x0b"
              "chunked") "\r\n" EVIL,
      "", "400" },
    { "TE with a trailing comma", POST TE("chunked,") "\r\n0\r\n\r\n" EVIL, "", "501" },
    { "TE hidden behind CR", POST "X: y\rTransfer-Encoding: chunked\r\n\r\n" EVIL, "", "400" },
    { "TE in HTTP/1.0", "POST /a HTTP/1.0\r\n" TE("chunked") "\r\n0\r\n\r\n" EVIL, "", "400" },
    { "TE identity", POST TE("identity") CL("3") "\r\nabc" EVIL, "", "400" },
    { "two lengths", POST CL("2") CL("3") "\r\n[]x" EVIL, "", "400" },
    { "two equal lengths", POST CL("2") CL("2") "\r\n[]" EVIL, "", "400" },
    { "list of lengths", POST CL("2, 2") "\r\n[]" EVIL, "", "400" },
    { "length with a sign", POST CL("+2") "\r\n[]" EVIL, "", "400" },
    { "negative length", POST CL("-1") "\r\n" EVIL, "", "400" },
    { "hex length", POST CL("0x2") "\r\n[]" EVIL, "", "400" },
    { "length beyond 64 bits", POST CL("18446744073709551617") "\r\n" EVIL, "", "400" },
    { "length with a NUL-like blank", POST CL("2 0") "\r\n[]" EVIL, "", "400" },
    { "folded length", POST "Content-Length: 2\r\n 0\r\n\r\n[]" EVIL, "", "400" },
    { "length as first line folded",
      "POST /a HTTP/1.1\r\n Content-Length: 3\r\nHost: x\r\n\r\n" EVIL, "", "400" },
    { "name with an underscore is another name",
      POST "Content_Length: 3\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n", "POST /a [];GET /b [];",
      "200" },
    { "bare LF lines frame as CRLF do", "POST /a HTTP/1.1\nHost: x\nContent-Length: 2\n\n[]",
      "POST /a [[]];", "200" },
    { "chunk size with a sign", POST TE("chunked") "\r\n+3\r\nabc\r\n0\r\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "chunk size with a prefix", POST TE("chunked") "\r\n0x3\r\nabc\r\n0\r\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "chunk size that wraps", POST TE("chunked") "\r\n10000000000000003\r\nabc\r\n0\r\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "huge chunk size", POST TE("chunked") "\r\n7fffffffffffffff\r\nabc\r\n", "", "" },
    { "chunk size line ended by LF", POST TE("chunked") "\r\n3\nabc\r\n0\r\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "chunk extension with LF", POST TE("chunked") "\r\n3;x\nabc\r\n0\r\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "chunk data ended by LF", POST TE("chunked") "\r\n3\r\nabc\n0\r\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "chunk data too long", POST TE("chunked") "\r\n2\r\nabc\r\n0\r\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "last chunk ended by LF", POST TE("chunked") "\r\n0\n\n" EVIL, "POST /a []ERR_MALFORMED;",
      "400" },
    { "trailer ended by LF", POST TE("chunked") "\r\n0\r\nX: y\n\r\n" EVIL,
      "POST /a []ERR_MALFORMED;", "400" },
    { "chunk extensions and trailers do no harm",
      POST TE("chunked") "\r\n3;a=\"0\"\r\nabc\r\n0\r\nContent-Length: 50\r\n\r\n",
      "POST /a [abc];", "200" },
    { "NUL in a value", "", "", "" }, /* has its own test */
    { "two hosts", "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" EVIL, "", "400" },
    { "absolute form", "GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n", "GET /a [];", "200" },
    { "absolute form with a user", "GET http://x@y/a HTTP/1.1\r\nHost: x\r\n\r\n" EVIL, "", "400" },
    { "authority form", "CONNECT y:80 HTTP/1.1\r\nHost: y\r\n\r\n" EVIL, "", "400" },
    { "encoded traversal stays encoded", HEAD("GET /a%2F..%2Fb") "\r\n", "GET /a%2F..%2Fb [];",
      "200" },
    { "encoded line end in the target", HEAD("GET /a%0d%0aX:y") "\r\n", "GET /a%0d%0aX:y [];",
      "200" },
    { "CR in the target", "GET /a\rb HTTP/1.1\r\nHost: x\r\n\r\n" EVIL, "", "400" },
    { "space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n" EVIL, "", "400" },
    { "HTTP/0.9", "GET /evil\r\n\r\n" EVIL, "", "400" },
    { "version 2", "GET /evil HTTP/2.0\r\nHost: x\r\n\r\n" EVIL, "", "505" },
    { "body of a GET is a body", HEAD("GET /a") CL("31") "\r\n" EVIL, "GET /a [" EVIL "];", "200" },
    { "two empty lines before a request", "\r\n\r\n" EVIL, "", "400" },
};

static struct rig rig;

static void
send_in_steps(int fd, const char *bytes, size_t len, size_t step)
{
    for (size_t at = 0; at < len; at += step) {
        ssize_t sent = send(fd, bytes + at, len - at < step ? len - at : step, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* refused already */
        worker_turn(&rig.worker, 0);
    }
}

static void
check(const struct attack *a, size_t len, size_t step)
{
    memset(&seen, 0, sizeof seen);
    int fd = rig_connect(&rig);
    send_in_steps(fd, a->bytes, len, step);
    (void)shutdown(fd, SHUT_WR);
    static char answer[4096];
    size_t got = rig_receive(&rig, fd, answer, sizeof answer - 1, NULL);
    answer[got] = '\0';
    char *last = answer;
    for (char *next = answer; (next = strstr(next, "HTTP/1.1 ")) != NULL; next += 9)
        last = next;
    bool ok = CHECK(!seen.is_evil);
    if (a->status[0] != '\0') {
        ok = CHECK_EQ_STR(seen.log, a->log) && ok;
        ok = CHECK(got > 12 && strncmp(last + 9, a->status, 3) == 0)
        &&ok;
    }
    if (!ok)
        fprintf(stderr, "  attack: %s (in steps of %zu)\n  answer: %s\n", a->name, step, answer);
    (void)close(fd);
}

TEST(no_hidden_request_reaches_a_handler)
{
    rig_start(&rig, NULL, handle, NULL);
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        size_t len = strlen(attacks[i].bytes);
        if (len == 0)
            continue;
        check(&attacks[i], len, len);
        check(&attacks[i], len, 1);
    }
    rig_stop(&rig);
}

TEST(a_nul_byte_is_refused_wherever_it_stands)
{
    static const char *const texts[] = { "GET /@ HTTP/1.1\r\nHost: x\r\n\r\n",
                                         "GET / HTTP/1.1\r\nHost: x@\r\n\r\n",
                                         "GET / HTTP/1.1\r\nHost: x\r\nA@B: c\r\n\r\n",
                                         "GET / HTTP/1.1\r\nHost: x\r\nA: @\r\n\r\n" };
    rig_start(&rig, NULL, handle, NULL);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char bytes[128];
        size_t len = strlen(texts[i]);
        memcpy(bytes, texts[i], len);
        *(char *)memchr(bytes, '@', len) = '\0';
        check(&(struct attack){ texts[i], bytes, "", "400" }, len, len);
    }
    rig_stop(&rig);
}
