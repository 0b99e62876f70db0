/* What the host calls: one deflate stream at a time, raw, through two buffers. */
#ifdef ZLIB_NG
#include "zlib-ng.h"
#define z_stream zng_stream
#define deflate zng_deflate
#define deflateInit2 zng_deflateInit2
#else
#include "zlib.h"
#endif
#include <string.h>

static _Alignas(64) unsigned char heap[2 << 20];
static unsigned used;
static unsigned char in[1 << 16], out[1 << 16];
static z_stream stream;

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

__attribute__((export_name("init"))) int init(int level, int mem, int strategy) {
	used = 0;
	memset(&stream, 0, sizeof stream);
	stream.zalloc = take;
	stream.zfree = give;
	return deflateInit2(&stream, level, Z_DEFLATED, -15, mem, strategy);
}

__attribute__((export_name("input"))) void *input(void) { return in; }
__attribute__((export_name("output"))) void *output(void) { return out; }

__attribute__((export_name("feed"))) void feed(unsigned n) {
	stream.next_in = in;
	stream.avail_in = n;
}

/* How many bytes stand in the output buffer, or a negative error. Call it until it is not full. */
__attribute__((export_name("run"))) int run(int finish) {
	int r;
	stream.next_out = out;
	stream.avail_out = sizeof out;
	r = deflate(&stream, finish ? Z_FINISH : Z_NO_FLUSH);
	if (r < 0 && r != Z_BUF_ERROR) return r;
	return (int)(sizeof out - stream.avail_out);
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
