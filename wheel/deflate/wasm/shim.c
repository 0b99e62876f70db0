/* What the host calls: one raw deflate stream at a time, made as Python's zlib
 * module makes it. The stream of zlib-ng depends on how its input is cut, and
 * on where its output buffers end. */
#ifdef ZLIB_NG
#include "zbuild.h"
#include "deflate.h"
#define z_stream zng_stream
#define deflate zng_deflate
#define deflateInit2 zng_deflateInit2
#else
#include "zlib.h"
#endif
#include <string.h>

enum { WINDOW = 1 << 16, FULL = 0, DONE = 1, END = 2 }; /* the room is used up; the call is over; the stream is */

static _Alignas(64) unsigned char heap[2 << 20];
static unsigned used;
static unsigned char in[2 * WINDOW], out[1 << 20];
static unsigned chunk; /* bytes of each call; 0: all in one */
static int full, flushing, ended; /* the last run used up its room; in the last call; the input is at its end */
static z_stream stream;

/* The host's: up to n bytes of the input; 0 at its end. */
__attribute__((import_module("env"), import_name("read"))) unsigned host_read(void *to, unsigned n);

static void *take(void *opaque, unsigned n, unsigned size) {
	unsigned bytes = (n * size + 63) & ~63u;
	void *p = heap + used;
	(void)opaque;
	if (bytes > sizeof heap - used) return 0;
	used += bytes;
	memset(p, 0, bytes);
	return p;
}

static void give(void *opaque, void *p) { (void)opaque; (void)p; }

static void pull(unsigned n) {
	memmove(in, stream.next_in, stream.avail_in);
	stream.next_in = in;
	while (!ended && stream.avail_in < n) {
		unsigned got = host_read(in + stream.avail_in, n - stream.avail_in);
		stream.avail_in += got;
		ended = got == 0;
	}
}

#ifdef ZLIB_NG
/* In one call with all of the input, zlib-ng would never find less of it here than its window can take. */
void __real_zng_fill_window(deflate_state *s);
void __wrap_zng_fill_window(deflate_state *s) {
	if (!chunk && stream.avail_in < WINDOW) pull(sizeof in);
	__real_zng_fill_window(s);
}
#endif

/* Starts a stream: 0, or an error. */
__attribute__((export_name("init"))) int init(int level, int mem, int strategy, unsigned cut) {
	used = 0;
	chunk = cut;
	full = flushing = ended = 0;
	memset(&stream, 0, sizeof stream);
	stream.next_in = in;
	stream.zalloc = take;
	stream.zfree = give;
	return deflateInit2(&stream, level, Z_DEFLATED, -15, mem, strategy);
}

__attribute__((export_name("output"))) void *output(void) { return out; }

/* Makes up to room bytes of output: how many, and in the bits from 24 why it stopped; or a negative error. */
__attribute__((export_name("run"))) int run(unsigned room) {
	stream.next_out = out;
	stream.avail_out = room;
	do {
		int r;
		if (!full && !flushing) {
			if (!stream.avail_in) pull(chunk ? chunk : sizeof in);
			flushing = !stream.avail_in;
		}
		r = deflate(&stream, flushing ? Z_FINISH : Z_NO_FLUSH);
		if (r < 0 && r != Z_BUF_ERROR) return r;
		full = !stream.avail_out;
	} while (!full && !chunk && !flushing && !ended);
	return (int)(room - stream.avail_out) | (full ? FULL : flushing ? END : DONE) << 24;
}

#undef memcpy
#undef memmove
#undef memset
void *memcpy(void *d, const void *s, size_t n) { return __builtin_memcpy(d, s, n); }
void *memmove(void *d, const void *s, size_t n) { return __builtin_memmove(d, s, n); }
void *memset(void *d, int c, size_t n) { return __builtin_memset(d, c, n); }
int memcmp(const void *x, const void *y, size_t n) {
	const unsigned char *a = x, *b = y;
	for (; n--; a++, b++)
		if (*a != *b) return *a - *b;
	return 0;
}
