/* The instructions that Cloudflare's fork can't do without, in C: its
 * generic code forgets to move the hash table when the window slides. */
#pragma once
#include <stdint.h>
typedef struct { uint16_t v[8]; } __m128i;
static inline __m128i _mm_set1_epi16(int x) {
	__m128i r;
	for (int i = 0; i < 8; i++) r.v[i] = (uint16_t)x;
	return r;
}
static inline __m128i _mm_loadu_si128(const __m128i *p) { return *p; }
static inline void _mm_storeu_si128(__m128i *p, __m128i a) { *p = a; }
static inline __m128i _mm_subs_epu16(__m128i a, __m128i b) {
	for (int i = 0; i < 8; i++) a.v[i] = a.v[i] > b.v[i] ? a.v[i] - b.v[i] : 0;
	return a;
}
static inline uint32_t _mm_crc32_u32(uint32_t crc, uint32_t v) {
	crc ^= v;
	for (int i = 0; i < 32; i++) crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	return crc;
}
