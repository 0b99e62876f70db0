/* The one instruction that Cloudflare's hash uses, in C. */
#pragma once
#include <stdint.h>
static inline uint32_t _mm_crc32_u32(uint32_t crc, uint32_t v) {
	crc ^= v;
	for (int i = 0; i < 32; i++) crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
	return crc;
}
