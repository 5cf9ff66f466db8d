// SPDX-License-Identifier: MIT
// The env of programs.py's Counting: infos of every kind, attributes of every kind, ends on demand.
#include <chrono>
#include <csignal>
#include <thread>

#include "envring_worker.hpp"

struct Counting {
    using Observation = int16_t;
    using Action = float;
    static constexpr const char *spaces = R"({
        "observation_space": {"type": "Box", "dtype": "int16", "shape": [3], "low": -9, "high": 9999},
        "action_space": {"type": "Box", "dtype": "float32", "shape": [2], "low": -1, "high": 1}
    })";
    int count = 0, length = 4;
    int64_t big = int64_t(1) << 40;
    double share = 0.25, nap = 0;
    float narrow = 1.5f;
    bool stern = false;
    uint64_t seed = 0;

    explicit Counting(uint64_t) {}

    void reset(const uint64_t *given, int16_t *to) {
        if (given) seed = *given;
        if (stern) throw std::runtime_error("no reset");
        count = 0;
        tell(to);
    }
    envring::Outcome step(const float *action, int16_t *to) {
        if (action[0] < -0.95f) std::raise(SIGKILL);
        if (nap > 0) std::this_thread::sleep_for(std::chrono::duration<double>(nap));
        count++;
        tell(to);
        if (action[0] > 0.9f) throw std::runtime_error("too far");
        bool ended = count == length || action[1] < -0.95f;
        return {action[0] * share, ended, ended && action[1] > 0};
    }
    void tell(int16_t *to) const {
        to[0] = int16_t(count), to[1] = int16_t(seed), to[2] = int16_t(count * 7);
    }
    void info(envring::Info &to) const {
        if (seed == 13) return; // nothing at all
        if (count == 0) to("begun", true);
        to("count", count);
        to("big", -big - count);
        to("share", share * count);
        if (count % 2) to("odd", count == 3);
    }
    void attributes(envring::Attributes &of) {
        of("count", count), of("length", length), of("big", big), of("share", share);
        of("narrow", narrow), of("stern", stern), of("nap", nap);
    }
};

int main() { return envring::serve<Counting>(); }
