/* SPDX-License-Identifier: MIT
 *
 * Parts of er_strided.c, 16 bytes at a time. Each returns how much it did; loops do the rest. They
 * neither read nor write beside what they copy.
 */
#ifndef ER_STRIDED_X86_H
#define ER_STRIDED_X86_H

#include <stdint.h>
#include <string.h>
#include <tmmintrin.h>

/* How to copy elements that lie so close that one load contains several. */
typedef struct {
    int count;                /* elements per load, 0 if this is not the way */
    intptr_t load_at;         /* from the first of them */
    intptr_t lowest, highest; /* bytes that one element has, from its start */
    __m128i mask;
} er_shuffle_t;

static inline int er_can_shuffle(void) { return __builtin_cpu_supports("ssse3"); }

/* Elements of `size` bytes, which are at offsets[0], offsets[1], ... from the element's start; the
 * starts are `step` bytes apart. */
static void er_shuffle_init(er_shuffle_t *s, intptr_t step, const intptr_t *offsets, int size) {
    uint8_t mask[16];
    s->count = 0;
    s->lowest = s->highest = offsets[0];
    for (int k = 1; k < size; k++) {
        if (offsets[k] < s->lowest) s->lowest = offsets[k];
        if (offsets[k] > s->highest) s->highest = offsets[k];
    }
    intptr_t room = 15 - (s->highest - s->lowest), apart = step < 0 ? -step : step;
    if (room < apart || !er_can_shuffle()) return;
    s->count = (int)(room / apart) + 1;
    if (s->count > 16 / size) s->count = 16 / size;
    if (s->count < 3) s->count = 0; /* loops are as fast */
    if (!s->count) return;
    /* the rest of what is loaded is of the next elements, not of what may lie before the first */
    s->load_at = step > 0 ? s->lowest : s->highest - 15;
    for (int i = 0; i < 16; i++) {
        intptr_t at = i / size * step + offsets[i % size] - s->load_at;
        mask[i] = i < s->count * size ? (uint8_t)at : 0x80;
    }
    memcpy(&s->mask, mask, 16);
}

__attribute__((target("ssse3"))) static intptr_t er_shuffle(const er_shuffle_t *s, uint8_t *to,
                                                            const uint8_t *from, intptr_t n,
                                                            intptr_t step, int size) {
    const uint8_t *last = from + (n - 1) * step;
    const uint8_t *low = (step < 0 ? last : from) + s->lowest;
    const uint8_t *high = (step < 0 ? from : last) + s->highest - 15;
    const uint8_t *at = from + s->load_at, *end = to + n * size - 16;
    const __m128i mask = s->mask;
    const intptr_t read = s->count * step, written = s->count * size;
    uint8_t *put = to;
    for (; put <= end && low <= at && at <= high; put += written, at += read) {
        __m128i loaded = _mm_loadu_si128((const __m128i *)at);
        _mm_storeu_si128((__m128i *)put, _mm_shuffle_epi8(loaded, mask));
    }
    return (put - to) / size;
}

/* Elements of three bytes, as they are or reversed, each of which has a fourth byte above it. */
__attribute__((target("ssse3"))) static intptr_t
er_threes(uint8_t *to, const uint8_t *from, intptr_t n, intptr_t step, int reversed) {
    const __m128i forth = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const __m128i back = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m128i mask = reversed ? back : forth;
    intptr_t i = 0;
    if (!er_can_shuffle()) return 0;
    if (reversed) from -= 2;
    for (; i + 6 <= n; i += 4, to += 12, from += 4 * step) { /* a store reaches into the next two */
        __m128i words[4];
        for (int k = 0; k < 4; k++) {
            int32_t word;
            memcpy(&word, from + k * step, 4);
            words[k] = _mm_cvtsi32_si128(word);
        }
        __m128i low = _mm_unpacklo_epi32(words[0], words[1]);
        __m128i high = _mm_unpacklo_epi32(words[2], words[3]);
        __m128i all = _mm_shuffle_epi8(_mm_unpacklo_epi64(low, high), mask);
        _mm_storeu_si128((__m128i *)to, all);
    }
    return i;
}

/* n pixels of three or four bytes, from as many planes. */
__attribute__((target("ssse3"))) static intptr_t
er_interleave(uint8_t *to, const uint8_t *from, intptr_t n, intptr_t plane, int channels) {
    const __m128i three = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const __m128i as_is = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i mask = channels == 3 ? three : as_is;
    intptr_t i = 0;
    if (!er_can_shuffle()) return 0;
    for (; i + 18 <= n; i += 16) { /* a store of three bytes per pixel reaches into the next ones */
        const uint8_t *at = from + i;
        __m128i a = _mm_loadu_si128((const __m128i *)at);
        __m128i b = _mm_loadu_si128((const __m128i *)(at + plane));
        __m128i c = _mm_loadu_si128((const __m128i *)(at + 2 * plane));
        __m128i d = channels == 3 ? a : _mm_loadu_si128((const __m128i *)(at + 3 * plane));
        __m128i ab[2] = {_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)};
        __m128i cd[2] = {_mm_unpacklo_epi8(c, d), _mm_unpackhi_epi8(c, d)};
        for (int half = 0; half < 2; half++) {
            __m128i low = _mm_unpacklo_epi16(ab[half], cd[half]);
            __m128i high = _mm_unpackhi_epi16(ab[half], cd[half]);
            _mm_storeu_si128((__m128i *)to, _mm_shuffle_epi8(low, mask));
            to += 4 * channels;
            _mm_storeu_si128((__m128i *)to, _mm_shuffle_epi8(high, mask));
            to += 4 * channels;
        }
    }
    return i;
}

/* n pixels of three bytes to a plane of each byte. */
__attribute__((target("ssse3"))) static intptr_t er_planes(uint8_t *const to[3],
                                                           const uint8_t *from, intptr_t n) {
    __m128i masks[3][3]; /* [plane][third of 48 bytes] */
    intptr_t i = 0;
    if (!er_can_shuffle()) return 0;
    for (int plane = 0; plane < 3; plane++) {
        uint8_t places[3][16];
        memset(places, 0x80, sizeof places);
        for (int pixel = 0; pixel < 16; pixel++) {
            int at = 3 * pixel + plane;
            places[at / 16][pixel] = (uint8_t)(at % 16);
        }
        for (int k = 0; k < 3; k++) memcpy(&masks[plane][k], places[k], 16);
    }
    for (; i + 16 <= n; i += 16, from += 48) {
        __m128i a = _mm_loadu_si128((const __m128i *)from);
        __m128i b = _mm_loadu_si128((const __m128i *)(from + 16));
        __m128i c = _mm_loadu_si128((const __m128i *)(from + 32));
        for (int plane = 0; plane < 3; plane++) {
            __m128i ab = _mm_or_si128(_mm_shuffle_epi8(a, masks[plane][0]),
                                      _mm_shuffle_epi8(b, masks[plane][1]));
            __m128i all = _mm_or_si128(ab, _mm_shuffle_epi8(c, masks[plane][2]));
            _mm_storeu_si128((__m128i *)(to[plane] + i), all);
        }
    }
    return i;
}

/* Eight rows of eight bytes: `to` gets them as columns. The starts of what is read are `step` bytes
 * apart, those of what is written `width`, which may be negative. */
static inline void er_transpose_8x8(uint8_t *to, intptr_t width, const uint8_t *from,
                                    intptr_t step) {
    __m128i rows[8], pairs[4], fours[4];
    for (int i = 0; i < 8; i++) rows[i] = _mm_loadl_epi64((const __m128i *)(from + i * step));
    for (int i = 0; i < 4; i++) pairs[i] = _mm_unpacklo_epi8(rows[2 * i], rows[2 * i + 1]);
    for (int i = 0; i < 2; i++) {
        fours[2 * i] = _mm_unpacklo_epi16(pairs[2 * i], pairs[2 * i + 1]);
        fours[2 * i + 1] = _mm_unpackhi_epi16(pairs[2 * i], pairs[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        __m128i two[2] = {_mm_unpacklo_epi32(fours[i], fours[i + 2]),
                          _mm_unpackhi_epi32(fours[i], fours[i + 2])};
        for (int k = 0; k < 2; k++, to += 2 * width) {
            _mm_storel_epi64((__m128i *)to, two[k]);
            _mm_storel_epi64((__m128i *)(to + width), _mm_unpackhi_epi64(two[k], two[k]));
        }
    }
}

#endif
