/* The floating-point mode that results are defined in: round to nearest, subnormal numbers kept. Libraries in the same
 * process may have set another one for their threads.
 */
#ifndef DEWPOINT_ROUNDING_H
#define DEWPOINT_ROUNDING_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

typedef uint32_t RoundingMode;

static inline RoundingMode rounding_exact(void) {
    RoundingMode before = _mm_getcsr();
    _mm_setcsr(0x1F80); /* every exception masked, nearest even, no flush, no denormals-are-zero */
    return before;
}

static inline void rounding_restore(RoundingMode before) { _mm_setcsr(before); }

#elif defined(__aarch64__)

typedef uint64_t RoundingMode;

static inline RoundingMode rounding_exact(void) {
    RoundingMode before;
    const uint64_t plain = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(plain));
    return before;
}

static inline void rounding_restore(RoundingMode before) { __asm__ volatile("msr fpcr, %0" : : "r"(before)); }

#else

typedef int RoundingMode;
static inline RoundingMode rounding_exact(void) { return 0; }
static inline void rounding_restore(RoundingMode before) { (void)before; }

#endif
#endif
