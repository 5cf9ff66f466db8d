/* SPDX-License-Identifier: MIT
 *
 * Plays inputs that are files, for a target and any compiler: replay FILE ...
 */
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        uint8_t data[4096];
        FILE *file = fopen(argv[i], "rb");
        CHECK(file);
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        fprintf(stderr, "%s\n", argv[i]);
        CHECK_EQ(LLVMFuzzerTestOneInput(data, size), 0);
    }
    return argc > 1 ? PASS : FAIL;
}
