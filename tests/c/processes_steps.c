/* SPDX-License-Identifier: MIT */
#include "child.h"
#include "steps.h"

#include <sys/wait.h>

enum { WORKERS = 3, ENVS = 70, BATCHES = 3000 };

/* Workers as processes on a memfd: futexes and mappings as in earnest. */
int main(void) {
    for (uint32_t spin = 0; spin <= 20000; spin += 20000) {
        rig_t rig;
        pid_t pids[WORKERS];
        rig_open(&rig, RIG_SHARED, ENVS, WORKERS);
        for (uint32_t w = 0; w < WORKERS; w++) {
            pids[w] = fork_child();
            if (pids[w] == 0) {
                serve(&rig, w, spin);
                _exit(PASS);
            }
        }
        drive(&rig, BATCHES, spin);
        for (int w = 0; w < WORKERS; w++) {
            int status;
            CHECK_EQ(waitpid(pids[w], &status, 0), pids[w]);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == PASS);
        }
        rig_close(&rig);
    }
    return PASS;
}
