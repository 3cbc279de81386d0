#include "kernels.h"

#include <string.h>

extern const Kernels kernels_avx512, kernels_avx2, kernels_neon, kernels_portable;

const Kernels *const kernels_compiled[] = {
#if defined(__x86_64__)
    &kernels_avx512,
    &kernels_avx2,
#elif defined(__aarch64__)
    &kernels_neon,
#endif
    &kernels_portable,
    NULL,
};

const Kernels *kernels_find(const char *name) {
    for (const Kernels *const *k = kernels_compiled; *k != NULL; k++) {
        if (strcmp((*k)->name, name) == 0) return (*k)->runs_here() ? *k : NULL;
    }
    return NULL;
}
