/* AVX-512 with VPOPCNTDQ and VNNI (Ice Lake, Zen 4 and later). */
#if defined(__x86_64__)

#include "lanes_avx512.h"

#define VARIANT avx512
#define TARGET AVX512
#define BLOCK_VECTORS 4
#define PIXELS(vectors) ((vectors) >= 3 ? 4 : 8)
#define WHOLE_BYTES 1
#define TABLES 0

static int runs_here_avx512(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vnni");
}

#include "kernels_template.h"

#else
typedef int not_for_this_machine;
#endif
