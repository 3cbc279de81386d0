/* AVX2, without VNNI or fast popcounts. */
#if defined(__x86_64__)

#include "lanes_avx2.h"
#include "kernels.h"
#include "tables_avx2.h"

#define VARIANT avx2
#define TARGET AVX2
#define BLOCK_VECTORS 2
#define PIXELS(vectors) ((vectors) == 2 ? 2 : 4)
#define WHOLE_BYTES 2
#define TABLES 1

static int runs_here_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
}

#include "kernels_template.h"

#else
typedef int not_for_this_machine;
#endif
