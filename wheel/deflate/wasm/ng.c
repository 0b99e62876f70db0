/* What zlib-ng's deflate links with and a raw stream never calls: checksums. */
#include "zbuild.h"
#include "deflate.h"
#include "functable.h"

static void never(void) { __builtin_trap(); }
uint32_t PREFIX(crc32)(uint32_t crc, const uint8_t *buf, uint32_t len) { never(); return 0; }
static uint32_t checksum(uint32_t crc, const uint8_t *buf, size_t len) { never(); return 0; }
#ifdef DISABLE_RUNTIME_CPU_DETECTION
uint32_t adler32_fold_copy_c(uint32_t adler, uint8_t *dst, const uint8_t *src, size_t len) { never(); return 0; }
uint32_t crc32_fold_reset_c(crc32_fold *crc) { never(); return 0; }
void crc32_fold_copy_c(crc32_fold *crc, uint8_t *dst, const uint8_t *src, size_t len) { never(); }
uint32_t crc32_fold_final_c(crc32_fold *crc) { never(); return 0; }
#else
static void nothing(void) {}
uint32_t longest_match_c(deflate_state *const s, Pos cur_match);
uint32_t longest_match_slow_c(deflate_state *const s, Pos cur_match);
void slide_hash_c(deflate_state *s);
uint32_t compare256_c(const uint8_t *src0, const uint8_t *src1);
#ifndef HASH
#define HASH(name) name##_c
#endif
uint32_t HASH(update_hash)(deflate_state *const s, uint32_t h, uint32_t val);
void HASH(insert_string)(deflate_state *const s, uint32_t str, uint32_t count);
Pos HASH(quick_insert_string)(deflate_state *const s, uint32_t str);
struct functable_s functable = {
	.force_init = nothing,
	.adler32 = checksum,
	.crc32 = checksum,
	.compare256 = compare256_c,
	.insert_string = HASH(insert_string),
	.longest_match = longest_match_c,
	.longest_match_slow = longest_match_slow_c,
	.quick_insert_string = HASH(quick_insert_string),
	.slide_hash = slide_hash_c,
	.update_hash = HASH(update_hash),
};
/* The shim's allocator aligns to 64 bytes. */
void *zng_alloc_aligned(zng_calloc_func zalloc, void *opaque, unsigned items, unsigned size, unsigned align) { return zalloc(opaque, items, size); }
void zng_free_aligned(zng_cfree_func zfree, void *opaque, void *ptr) { zfree(opaque, ptr); }
#endif
z_const char *const PREFIX(z_errmsg)[10] = {"", "", "", "", "", "", "", "", "", ""};
void *PREFIX(zcalloc)(void *opaque, unsigned items, unsigned size) { never(); return 0; }
void PREFIX(zcfree)(void *opaque, void *ptr) { never(); }
